package loadbalancer

import (
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
)

// departure follows a backend of west that leaves.
type departure struct {
	*harness
	told int // that connections are to be ended
	who  placed
}

const departing = 2 // the service, and the endpoint

func newDeparture(t *testing.T) *departure {
	d := &departure{harness: newHarness(t, 1, newRAM(testLimits))}
	d.w.half(false, -1)
	d.tell(true)
	d.converge()
	d.l.config.Down = func() { d.told++ }
	address := endpointAddr(1, departing, departing, false)
	for _, b := range d.l.state.byName[serviceNameOf(departing)][0].backends {
		if b.address.Addr() == address {
			d.who = b
		}
	}
	if d.who.number == 0 {
		t.Fatal("the endpoint is no backend: this shows nothing")
	}
	return d
}

// list makes west list the endpoint again, or no more: others, if any, in its place.
func (d *departure) list(listed bool, instead ...netip.Addr) {
	var b view.Batch
	for k, o := range d.store {
		s, ok := o.(*clustermesh.EndpointSlice)
		is := func(e clustermesh.Endpoint) bool { return e.Address == d.who.address.Addr() }
		if !ok || !slices.ContainsFunc(s.Endpoints, is) {
			continue
		}
		if !listed {
			without := *s
			without.Endpoints = slices.DeleteFunc(slices.Clone(s.Endpoints), is)
			for _, a := range instead {
				without.Endpoints = append(without.Endpoints, clustermesh.Endpoint{Address: a, Ready: true, Serving: true})
			}
			o = &without
		}
		b.Events = append(b.Events, etcd.Event[clustermesh.Object]{Op: etcd.Put, Key: k, Value: o})
	}
	d.l.take(b)
}

// expect lets time pass and looks at the entry: its standing, or gone, and how often
// connections were to be ended.
func (d *departure) expect(what string, pass time.Duration, there bool, standing Standing, told int) {
	d.Helper()
	d.now = d.now.Add(pass)
	for range 10 { // the time stands still
		d.l.settle(d.now)
		if d.l.state.limbo.running {
			d.l.graceEnded(<-d.l.graceDone, d.now)
		}
	}
	b := d.k.Backend(d.who.number)
	if usable := d.k.Usable(d.who.number); usable != there || there && (b.Standing != standing || b.Address != d.who.address) {
		d.Errorf("%s: the entry is %+v, usable %v; want standing %d, %v", what, b, usable, standing, there)
	}
	if d.told != told {
		d.Errorf("%s: told %d times that connections are to be ended, want %d", what, d.told, told)
	}
}

func TestUnlistedIsEnded(t *testing.T) {
	d := newDeparture(t)
	d.list(false)
	d.expect("just unlisted", 0, true, Silent, 0)
	d.list(true)
	d.expect("it moved to another slice", 0, true, Active, 0)
	d.list(false)
	d.expect("unlisted anew", 0, true, Silent, 0)
	d.expect("a moment later", misses-time.Millisecond, true, Silent, 0)
	d.expect("missed for long", time.Millisecond, true, Ended, 1)
	if wake := d.l.nextWake(d.now); wake > lingers {
		t.Errorf("wakes in %v to let the entry go", wake)
	}
	d.expect("its connections were ended", lingers, false, 0, 1)
	if len(d.l.leaving) > 0 {
		t.Errorf("still leaving: %v", d.l.leaving)
	}
}

// Who is gone does not go before its connections are ended, though somebody waits for
// its number.
func TestUnlistedIsEndedInAFullMap(t *testing.T) {
	d := newDeparture(t)
	numbers := d.l.state.backends
	numbers.limit, numbers.free = numbers.next, fifo[uint32]{}
	other := endpointAddr(1, departing, 77, false)
	d.list(false, other)
	d.expect("just replaced", 0, true, Silent, 0)
	if !d.failing(errNoNumber) {
		t.Fatal("there was room for the new one: this shows nothing")
	}
	d.expect("missed for long", misses, true, Ended, 1)
	d.who.address = netip.AddrPortFrom(other, d.who.address.Port())
	d.expect("its number is the new one's", lingers, true, Active, 1)
}

// An agent that starts when one is gone has it to see off as well.
func TestUnlistedWhileNobodyLooked(t *testing.T) {
	d := newDeparture(t)
	d.start()
	d.l.config.Down = func() { d.told++ }
	d.tell(true)
	d.list(false)
	d.expect("started", 0, true, Silent, 0)
	d.expect("missed for long", misses, true, Ended, 1)
	d.expect("its connections were ended", lingers, false, 0, 1)
}

func TestWithdrawnIsEnded(t *testing.T) {
	d := newDeparture(t)
	pod := global.Pod{Cluster: "west", Address: d.who.address.Addr()}
	d.l.withdraw(withdrawal{cluster: "west", pods: map[global.Pod]string{pod: "its node"}})
	d.expect("withdrawn", 0, true, Ended, 1)
	d.expect("its connections were ended", lingers, false, 0, 1)
}

// Who is there still, and is only led to no more, keeps its connections, for as long as
// its cluster lists it.
func TestDeselectedDrains(t *testing.T) {
	for what, set := range map[string]func(w *world, off bool){
		"a weight of 0": func(w *world, off bool) { w.services[1][departing].weight = map[bool]uint16{true: 0, false: 100}[off] },
		"the service is this cluster's alone": func(w *world, off bool) {
			w.services[0][departing].global = !off
		},
	} {
		t.Run(what, func(t *testing.T) {
			d := newDeparture(t)
			set(d.w, true)
			d.tell(false)
			d.expect("deselected", 0, true, Draining, 0)
			d.expect("for long", time.Hour, true, Draining, 0)
			set(d.w, false)
			d.tell(false)
			d.expect("selected again", 0, true, Active, 0)
			set(d.w, true)
			d.tell(false)
			d.expect("deselected again", 0, true, Draining, 0)
			d.list(false)
			d.expect("it is gone", 0, true, Silent, 0)
			d.expect("missed for long", misses, true, Ended, 1)
			d.expect("its connections were ended", lingers, false, 0, 1)
		})
	}
}

// What another cluster has as well is kept for nobody, nor what is there with other ports.
func TestDeselectedIsKnown(t *testing.T) {
	a := netip.MustParseAddr("10.2.0.1")
	slice := func(port uint16) []*clustermesh.EndpointSlice {
		return []*clustermesh.EndpointSlice{{
			Ports:     []clustermesh.EndpointPort{{Protocol: clustermesh.TCP, Port: port}},
			Endpoints: []clustermesh.Endpoint{{Address: a, Serving: true}},
		}}
	}
	b := placed{cluster: 2, address: netip.AddrPortFrom(a, 8080)}
	for want, exports := range map[bool][]global.Export{
		true:  {{ClusterID: 2, Slices: append(slice(9090), slice(8080)...)}},
		false: {{ClusterID: 2, Slices: slice(8080)}, {ClusterID: 3, Slices: slice(8080)}},
	} {
		in := global.Input{Exports: exports}
		if _, got := deselected(&in, b, clustermesh.TCP, &exports[0].Slices[0].Endpoints[0]); got != want {
			t.Errorf("kept: %v, want %v", got, want)
		}
	}
	in := global.Input{Exports: []global.Export{{ClusterID: 2, Slices: slice(9090)}}}
	if _, got := deselected(&in, b, clustermesh.TCP, &in.Exports[0].Slices[0].Endpoints[0]); got {
		t.Error("kept with another port")
	}
}

// Who is shared no more has not ended.
func TestUnsharedGoesOn(t *testing.T) {
	d := newDeparture(t)
	d.w.services[1][departing].shared = false
	before := maps.Clone(d.store)
	d.tell(false)
	if maps.Equal(before, d.store) {
		t.Fatal("nothing changed")
	}
	d.expect("not shared", 0, false, 0, 0)
}
