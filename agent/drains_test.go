package agent

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/bpf/bpftest"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/etcdtest"
)

func TestPace(t *testing.T) {
	for _, c := range []struct {
		nodes, report int
		want          time.Duration
	}{
		{0, 0, time.Second}, {20, 20 << 10, time.Second},
		{100, 1 << 10, time.Second}, {101, 1 << 10, 1010 * time.Millisecond}, {2000, 4 << 10, 20 * time.Second},
		{100, 20 << 10, 5 * time.Second}, {2000, 20 << 10, 100 * time.Second},
	} {
		if got := pace(c.nodes, c.report); got != c.want {
			t.Errorf("%d nodes, reports of %d bytes: %v, want %v", c.nodes, c.report, got, c.want)
		}
	}
}

// What a count costs is what the node's whole report does.
func TestReportSaysItsSize(t *testing.T) {
	d := newDrains(nil, nil)
	w := &watcher{agent: New(Config{Node: "n1", Version: "test"}, slog.New(slog.DiscardHandler)),
		identities: newIdentities(Config{}, nil), drains: d, reports: make(chan []byte, 1)}
	w.report(&Status{Health: clustermesh.HealthOK})
	if got, want := d.report.Load(), int64(len(<-w.reports)); got != want || want == 0 {
		t.Errorf("it is taken for %d bytes long, and is %d", got, want)
	}
}

func drainEvent(op etcd.Op, d *clustermesh.Drain) view.Batch {
	e := etcd.Event[clustermesh.Object]{Op: op, Key: clustermesh.KeyOf(clustermesh.Export, d).String()}
	if op == etcd.Put {
		e.Value = d
	}
	return view.Batch{Events: []etcd.Event[clustermesh.Object]{e}}
}

// However often drains change, counts are at least a second apart, and there are
// none while nothing drains.
func TestCountsAreCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, d := time.Now(), newDrains(nil, nil)
		var counted []time.Duration
		d.count = func() []clustermesh.DrainCount {
			counted = append(counted, time.Since(begin))
			return []clustermesh.DrainCount{{Connections: uint32(len(counted))}}
		}
		batches := make(chan view.Batch)
		go d.run(t.Context(), batches)
		node := &clustermesh.Drain{What: clustermesh.DrainNode, Name: "n2", Moved: clustermesh.DrainedWhole}
		time.Sleep(10 * time.Second)
		for range 25 { // 2.5 s
			batches <- drainEvent(etcd.Put, node)
			time.Sleep(100 * time.Millisecond)
		}
		rest := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
		rest(time.Second)
		want := []time.Duration{10 * time.Second, 11 * time.Second, 12 * time.Second, 13 * time.Second}
		if !slices.Equal(counted, want) || d.counted()[0].Connections != 4 {
			t.Errorf("counted at %v, want %v; published is %v", counted, want, d.counted())
		}
		back := *node
		back.Returning = begin
		d.report.Store(5 * bytesASecond)
		batches <- view.Batch{Events: []etcd.Event[clustermesh.Object]{{Op: etcd.Put, Key: "tombolo/v1/export/nodes/n1", Value: &clustermesh.Node{}}}}
		rest(20 * time.Second)
		if n := len(counted); counted[n-1]-counted[n-2] != 5*time.Second {
			t.Errorf("with a report of five seconds' bytes counted at %v", counted)
		}
		d.report.Store(0)
		for what, over := range map[string]view.Batch{"it comes back": drainEvent(etcd.Put, &back), "it is over": drainEvent(etcd.Delete, node)} {
			batches <- drainEvent(etcd.Put, node)
			rest(2 * time.Second)
			if len(d.counted()) == 0 {
				t.Fatal("nothing is counted while it drains")
			}
			batches <- over
			rest(2 * time.Second)
			before := len(counted)
			rest(10 * time.Second)
			if len(d.counted()) != 0 || len(counted) != before {
				t.Errorf("%s: %v, and it is counted on", what, d.counted())
			}
		}
	})
}

// A connection counts for its backend's cluster, node and service, if they are
// drained, in the report to the store, until it is closed; also one that found no
// room in the map of sockets.
func TestReportCountsConnections(t *testing.T) {
	r := newRig(t)
	const room = 8
	r.config.DataPath.Sizes.Sockets = room
	one := r.Serve(t, netip.MustParseAddrPort("10.1.0.2:0"), "one")
	two := r.Serve(t, netip.AddrPortFrom(netip.MustParseAddr("10.1.0.3"), one.Port()), "two")
	objects := web(one, two)
	objects[0].(*clustermesh.EndpointSlice).Endpoints[1].Node = "n2"
	r.put(append(objects, east)...)
	r.vouch()
	r.start()
	var held [2][]int // to the endpoints on n1 and n2
	t.Cleanup(func() {
		for _, fd := range slices.Concat(held[0], held[1]) {
			unix.Close(fd)
		}
	})
	hold := func() {
		fd, err := r.NewSocket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Connect(fd, bpftest.Sockaddr(vip, false)); err != nil {
			unix.Close(fd)
			return
		}
		switch name, _, err := bpftest.Receive(fd); {
		case err != nil:
			t.Fatal(err)
		case name == "one":
			held[0] = append(held[0], fd)
		default:
			held[1] = append(held[1], fd)
		}
	}
	r.until("both are connected to", func() bool { hold(); return min(len(held[0]), len(held[1])) > room })

	for _, d := range []*clustermesh.Drain{
		{What: clustermesh.DrainNode, Name: "n2"}, {What: clustermesh.DrainService, Name: "shop/web"},
		{What: clustermesh.DrainService, Name: "shop/other"}, {What: clustermesh.DrainCluster, Name: "east"},
	} {
		d.Moved, d.Since = clustermesh.DrainedWhole, time.Unix(1, 0)
		r.put(d)
	}
	expect := func(when string) {
		t.Helper()
		all, onTwo := len(held[0])+len(held[1]), len(held[1])
		want := fmt.Sprintf("east cluster east %d, east node n2 %d, east service shop/other 0, east service shop/web %d, ", all, onTwo, all)
		r.until(when+": "+want, func() bool {
			got := ""
			if p := r.report(); p != nil {
				for _, n := range p.Drains {
					got += fmt.Sprintf("%s %s %s %d, ", n.Cluster, n.What, n.Name, n.Connections)
				}
			}
			return got == want
		})
	}
	expect("open")
	for i := range held {
		unix.Close(held[i][0])
		held[i] = held[i][1:]
		expect("one is closed")
	}
	for _, fd := range slices.Concat(held[0], held[1]) {
		unix.Close(fd)
	}
	held = [2][]int{}
	expect("all are closed")
	key := clustermesh.KeyOf(clustermesh.Export, &clustermesh.Drain{What: clustermesh.DrainNode, Name: "n2"}).String()
	etcdtest.Delete(t, r.client, key)
	r.until("what is drained no more is not counted", func() bool { p := r.report(); return p != nil && len(p.Drains) == 3 })
}
