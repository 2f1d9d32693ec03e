package loadbalancer

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/agent/outlier"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/bpf/bpftest"
	"tombolo.io/tombolo/clustermesh"
)

// ejector is a LoadBalancer, driven step by step, of two services with the same
// backends 10.0.0.1 to 10.0.0.4 behind ports 80 and 81; only the first wants
// failing ones ejected.
type ejector struct {
	*testing.T
	l       *LoadBalancer
	target  kernel
	now     time.Time
	objects map[string]clustermesh.Object
	news    []string
}

var (
	picky, easy = serviceNameOf(0), serviceNameOf(1)
	pickyAt     = map[uint16]Frontend{80: {netip.AddrPortFrom(vip(0, false), 80), clustermesh.TCP, Sockets}, 81: {netip.AddrPortFrom(vip(0, false), 81), clustermesh.TCP, Sockets}}
	easyAt      = Frontend{netip.AddrPortFrom(vip(1, false), 80), clustermesh.TCP, Sockets}
)

func newEjector(t *testing.T, k kernel, mode Outliers) *ejector {
	t.Helper()
	e := &ejector{T: t, target: k, now: time.Unix(1e9, 0), objects: map[string]clustermesh.Object{}}
	tell := func(n News) {
		what := "ejected"
		if n.Ended {
			what = "back"
		}
		e.news = append(e.news, strings.TrimSuffix(fmt.Sprintf("%v %v %s %v", n.Service, n.Address, what, n.Observed), " false"))
	}
	e.l = New(Config{Node: "n0", Outliers: mode, Tell: tell}, k, slog.New(slog.DiscardHandler))
	if err := e.l.restore(); err != nil {
		t.Fatal(err)
	}
	self := &clustermesh.Cluster{Name: "east", ID: 1, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	e.objects[clustermesh.KeyOf(clustermesh.Export, self).String()] = self
	for i, name := range []clustermesh.ServiceName{picky, easy} {
		s := &clustermesh.Service{Name: name, Type: clustermesh.LoadBalancer, Weight: 100, LoadBalancerIPs: []netip.Addr{vip(i, false)}}
		slice := &clustermesh.EndpointSlice{Service: name, Name: name.Name}
		for _, p := range []uint16{80, 81} {
			s.Ports = append(s.Ports, clustermesh.ServicePort{Name: fmt.Sprint("p", p), Protocol: clustermesh.TCP, Port: p})
			slice.Ports = append(slice.Ports, clustermesh.EndpointPort{Name: fmt.Sprint("p", p), Protocol: clustermesh.TCP, Port: 8080})
		}
		for n := range byte(4) {
			slice.Endpoints = append(slice.Endpoints, clustermesh.Endpoint{Address: netip.AddrFrom4([4]byte{10, 0, 0, n + 1}), Ready: true, Serving: true})
		}
		if i == 0 {
			s.Outliers = clustermesh.DefaultOutlierDetection()
		}
		e.objects[clustermesh.KeyOf(clustermesh.Export, s).String()] = s
		e.objects[clustermesh.KeyOf(clustermesh.Export, slice).String()] = slice
	}
	b := (&world{}).difference(nil, e.objects)
	b.Events = append(b.Events, append(synced(clustermesh.Export, ""), synced(clustermesh.Private, "")...)...)
	e.l.take(b)
	e.drain()
	return e
}

// change changes an object and lets the agent hear of it.
func (e *ejector) change(o clustermesh.Object) {
	next := map[string]clustermesh.Object{clustermesh.KeyOf(clustermesh.Export, o).String(): o}
	e.l.take((&world{}).difference(nil, next))
	e.drain()
}

// drain lets the agent do what there is, at this moment.
func (e *ejector) drain() {
	for range 10 {
		e.l.settle(e.now)
		if e.l.state.limbo.running {
			e.l.graceEnded(<-e.l.graceDone, e.now)
		}
	}
	if n := len(e.l.queue.Failures()); n > 0 || e.l.queue.Len() > 0 {
		e.Fatalf("%d services failed, %d are due", n, e.l.queue.Len())
	}
}

// number returns the service to which a frontend leads.
func (e *ejector) number(f Frontend) uint32 {
	n, err := e.target.frontend(f)
	if err != nil || n == 0 {
		e.Fatalf("%v leads to service %d: %v", f, n, err)
	}
	return n
}

// fail says that connections to backend 10.0.0.N behind a frontend failed.
func (e *ejector) fail(f Frontend, n byte, inARow int) {
	at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, n}), 8080)
	e.l.fail([]ConnectFailure{{Service: e.number(f), Host: outlier.Host{Cluster: 1, Address: at}, Cause: bpf.Refused, InARow: inARow}}, e.now)
}

// used returns the backends of a frontend's table, by their last byte.
func (e *ejector) used(f Frontend) string {
	var out []string
	for _, n := range e.target.Slots(e.target.Service(e.number(f)).Tables[Primary]) {
		out = append(out, fmt.Sprint(e.target.Backend(n).Address.Addr().As4()[3]))
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), "")
}

func (e *ejector) want(f Frontend, used string) {
	e.Helper()
	if got := e.used(f); got != used {
		e.Errorf("the table of %v has the backends %s, want %s", f, got, used)
	}
}

// standing returns that of a backend of a frontend's service.
func (e *ejector) standing(f Frontend, last byte) Standing {
	for n := range e.target.Limits().Backends {
		b := e.target.Backend(n)
		if e.target.Usable(n) && b.Service == e.number(f) && b.Address.Addr().As4()[3] == last {
			return b.Standing
		}
	}
	e.Fatalf("backend %d of %v has no entry", last, f)
	return 0
}

// Who is ejected is passed over by one store, then leaves the tables of that port
// alone; it keeps its entry, so its connections stay; and comes back in time.
func TestEjection(t *testing.T) {
	r := newRAM(testLimits)
	e := newEjector(t, r, EjectOutliers)
	if !r.Service(e.number(pickyAt[80])).Outliers || r.Service(e.number(easyAt)).Outliers {
		t.Error("the kernel counts failures of a service that does not ask, or not of one that does")
	}
	e.fail(pickyAt[80], 1, 2)
	e.fail(easyAt, 1, 9)
	e.drain()
	e.want(pickyAt[80], "1234")
	e.want(easyAt, "1234")
	e.fail(pickyAt[80], 1, 3)
	if s := e.standing(pickyAt[80], 1); s != Silent {
		t.Errorf("before a table is built its standing is %d", s)
	}
	e.l.state.evict()
	if s := e.standing(pickyAt[80], 1); s != Silent {
		t.Errorf("evicted from under a table, its standing is %d", s)
	}
	e.drain()
	e.want(pickyAt[80], "234")
	e.want(pickyAt[81], "1234")
	e.want(easyAt, "1234")
	if s := e.standing(pickyAt[80], 1); s != Draining {
		t.Errorf("its standing is %d, and its connections are not kept", s)
	}
	until := e.now.Add(30 * time.Second)
	e.now = e.now.Add(publishEvery)
	e.drain()
	all := e.l.Snapshot().Services()[0]
	if len(all.Ejections) != 1 || all.Ejections[0].Cluster != "east" || all.Ejections[0].Until != until ||
		!strings.HasPrefix(all.Ejections[0].Reason, "3 connections in a row were refused, until ") {
		t.Errorf("shown is %+v", all.Ejections)
	}
	if at := e.l.nextWake(e.now); at > 30*time.Second {
		t.Errorf("it wakes in %v", at)
	}
	e.now = until
	e.drain()
	e.want(pickyAt[80], "1234")
	if e.standing(pickyAt[80], 1) != Active || len(r.forgiven) != 1 {
		t.Errorf("it is back with standing %d; forgiven are %v", e.standing(pickyAt[80], 1), r.forgiven)
	}
	if want := []string{"shop/s0 10.0.0.1:8080 ejected", "shop/s0 10.0.0.1:8080 back"}; !slices.Equal(e.news, want) {
		t.Errorf("told: %q, want %q", e.news, want)
	}
}

// Half of the backends of a port can be ejected, however many fail; who leaves the
// service is forgotten, and so are all when it asks for no detection any more.
func TestEjectionsAreBounded(t *testing.T) {
	e := newEjector(t, newRAM(testLimits), EjectOutliers)
	for n := range byte(4) {
		e.fail(pickyAt[80], n+1, 3)
		e.drain()
	}
	e.want(pickyAt[80], "34")
	if tally := e.l.outliers.tally; tally.Ejected != 2 || tally.Overflow != 2 {
		t.Errorf("counted %+v", tally)
	}
	slice := *e.objects[clustermesh.KeyOf(clustermesh.Export, &clustermesh.EndpointSlice{Service: picky, Name: picky.Name}).String()].(*clustermesh.EndpointSlice)
	slice.Endpoints = slice.Endpoints[1:]
	e.change(&slice)
	e.want(pickyAt[80], "34") // one of three
	slice.Endpoints = slices.Clone(slice.Endpoints)
	slice.Endpoints[1].Ready, slice.Endpoints[1].Serving = false, false
	slice.Endpoints[2].Ready, slice.Endpoints[2].Serving = false, false
	e.change(&slice)
	e.want(pickyAt[80], "2") // the only one
	slice.Endpoints = slices.Clone(slice.Endpoints)
	slice.Endpoints[1].Ready, slice.Endpoints[1].Serving = true, true
	e.change(&slice)
	e.fail(pickyAt[80], 2, 3)
	e.drain()
	e.want(pickyAt[80], "3")
	s := *e.objects[clustermesh.KeyOf(clustermesh.Export, &clustermesh.Service{Name: picky}).String()].(*clustermesh.Service)
	s.Outliers = clustermesh.OutlierDetection{}
	e.change(&s)
	e.want(pickyAt[80], "23")
	if o := e.l.outliers; len(o.services)+len(o.ejections) != 0 || e.target.Service(e.number(pickyAt[80])).Outliers {
		t.Errorf("left over are %+v", o)
	}
}

// Observed, an ejection is told and nothing changes; ignored, nobody counts.
func TestEjectionsThatAreNotMade(t *testing.T) {
	e := newEjector(t, newRAM(testLimits), ObserveOutliers)
	e.fail(pickyAt[80], 1, 3)
	if s := e.standing(pickyAt[80], 1); s != Active {
		t.Errorf("its standing is %d", s)
	}
	e.drain()
	e.want(pickyAt[80], "1234")
	if want := []string{"shop/s0 10.0.0.1:8080 ejected true"}; !slices.Equal(e.news, want) {
		t.Errorf("told: %q, want %q", e.news, want)
	}
	e = newEjector(t, newRAM(testLimits), IgnoreOutliers)
	e.fail(pickyAt[80], 1, 3)
	e.drain()
	if len(e.news) > 0 || e.target.Service(e.number(pickyAt[80])).Outliers {
		t.Errorf("ignored, and told %q", e.news)
	}
}

// The programs count, the maps are changed, and clients that connect meanwhile
// are refused a few times and then no more.
func TestClientsOfAnEjectedBackend(t *testing.T) {
	k := loadKernelMaps(t, testSizes())
	if err := errors.Join(k.d.Attach(), k.d.Hear(true)); err != nil {
		t.Fatal(err)
	}
	k.attached = true
	k.place.Own(t, netip.MustParsePrefix("10.0.0.1/8"))
	for n := byte(2); n <= 4; n++ {
		k.place.Serve(t, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, n}), 8080), "x")
	}
	failures, err := k.d.Failures()
	if err != nil {
		t.Fatal(err)
	}
	defer failures.Close()
	e := newEjector(t, k, EjectOutliers)
	connect := func() error {
		fd, err := k.place.NewSocket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		return unix.Connect(fd, bpftest.Sockaddr(pickyAt[80].Address, false))
	}
	refused := 0
	for range 300 {
		err := connect()
		if err == nil {
			continue
		}
		if !errors.Is(err, unix.ECONNREFUSED) {
			t.Fatal(err)
		}
		refused++
		told, err := failures.Read()
		if err != nil {
			t.Fatal(err)
		}
		e.l.fail(ConnectFailures(told), e.now)
		e.drain()
	}
	if refused != 3 {
		t.Errorf("%d of 300 connections were refused, want 3", refused)
	}
	e.want(pickyAt[80], "234")
	e.now = e.now.Add(30 * time.Second)
	e.drain()
	e.want(pickyAt[80], "1234")
	for n := range k.Limits().Backends {
		if b := k.d.Backends.Read(n); b.Failures > 0 {
			t.Errorf("it is back, and %d failures of %v are not forgiven", b.Failures, b.Address)
		}
	}
}
