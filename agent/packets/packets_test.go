package packets

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/bpf/bpftest"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
)

// notebook is a Kernel that writes down what it is told.
type notebook struct {
	told []string
	ways error // of RenewWays
	xdp  error // of each device
}

func (n *notebook) SetOwned(all map[netip.Addr]bpf.Owned) error {
	var words []string
	for a, o := range all {
		words = append(words, fmt.Sprintf("%v=%d", a, o))
	}
	slices.Sort(words)
	n.told = append(n.told, "owned "+strings.Join(words, " "))
	return nil
}

func (n *notebook) SetSources(v4, v6 netip.Addr) error {
	n.told = append(n.told, fmt.Sprintf("sources %v %v", v4, v6))
	return nil
}

func (n *notebook) Attach(devices []string) ([]bpf.Uplink, error) {
	n.told = append(n.told, "attach "+strings.Join(devices, " "))
	var uplinks []bpf.Uplink
	for _, d := range devices {
		uplinks = append(uplinks, bpf.Uplink{Device: d, Hook: "tcx", XDPErr: n.xdp})
	}
	return uplinks, nil
}

func (n *notebook) SetTunnel(node uint32, t bpf.Tunnel) error {
	n.told = append(n.told, fmt.Sprintf("tunnel %d %v %t %v %t", node, t.V4, t.Open4, t.V6, t.Open6))
	return nil
}

func (n *notebook) RenewWays(time.Time) error { return n.ways }

func (n *notebook) Ports() (first, count uint16) { return 1, 1 }

type full struct {
	filled   chan struct{}
	snapshot *loadbalancer.Snapshot
}

func (f *full) Filled() <-chan struct{}          { return f.filled }
func (f *full) Snapshot() *loadbalancer.Snapshot { return f.snapshot }

// otherBatch puts another node.
func otherBatch(n *clustermesh.Node) view.Batch {
	key := clustermesh.Key{Area: clustermesh.Export, Kind: clustermesh.KindNodes, Name: n.Name}
	return view.Batch{Events: []etcd.Event[clustermesh.Object]{{Op: etcd.Put, Key: key.String(), Value: n, Revision: 3}}}
}

// nodeBatch puts or, without an object, deletes node n1.
func nodeBatch(n *clustermesh.Node) view.Batch {
	key := clustermesh.Key{Area: clustermesh.Export, Kind: clustermesh.KindNodes, Name: "n1"}
	if n == nil {
		return view.Batch{Events: []etcd.Event[clustermesh.Object]{{Op: etcd.Delete, Key: key.String(), Revision: 2}}}
	}
	return view.Batch{Events: []etcd.Event[clustermesh.Object]{{Op: etcd.Put, Key: key.String(), Value: n, Revision: 3}}}
}

// What an earlier process attached is not replaced before the balancer has written all,
// and the node's addresses are known: answers come to these. They stay when the node is
// gone from the store.
func TestStep(t *testing.T) {
	k, b := &notebook{}, &full{make(chan struct{}), &loadbalancer.Snapshot{}}
	p := New(Config{Node: "n1", Devices: []string{"eth0"}}, k, b, slog.New(slog.DiscardHandler))
	now := time.Now()
	expect := func(when string, want ...string) {
		t.Helper()
		p.step(now)
		if !slices.Equal(k.told, want) {
			t.Errorf("%s: told %q, want %q", when, k.told, want)
		}
		k.told = nil
	}
	expect("at first")
	close(b.filled)
	expect("filled, without the node")
	if err := p.Snapshot().Problem; err != nil {
		t.Errorf("a cluster without services lacks nothing: %v", err)
	}
	p.take(nodeBatch(&clustermesh.Node{Name: "n1", Addresses: []netip.Addr{node4, node6}}))
	both := fmt.Sprintf("owned %v=1 %v=1", node4, node6)
	sources := fmt.Sprintf("sources %v %v", node4, node6)
	expect("with the node", both, sources, "attach eth0")
	expect("at once again")
	now = now.Add(lookAgain)
	expect("later", sources, "attach eth0")
	p.take(nodeBatch(nil))
	expect("the node is gone", sources, "attach eth0")
	p.take(nodeBatch(&clustermesh.Node{Name: "n1", Addresses: []netip.Addr{node4}}))
	fewer := fmt.Sprintf("sources %v %v", node4, netip.Addr{})
	expect("with fewer addresses", fmt.Sprintf("owned %v=1", node4), fewer, "attach eth0")
	for _, k.ways = range []error{errors.New("no memory"), nil} {
		now = now.Add(renewEvery)
		expect("ways have no numbers, and then some", fewer, "attach eth0")
		if err := p.Snapshot().Problem; (err == nil) != (k.ways == nil) {
			t.Errorf("renewing ways: %v; the problem is %v", k.ways, err)
		}
	}
}

// XDP that was asked for and cannot be had is a problem, but no reason to look at all devices
// every second; that auto leaves a device alone is none.
func TestXDP(t *testing.T) {
	for _, asked := range []bool{true, false} {
		k, b := &notebook{xdp: errors.New("taken")}, &full{make(chan struct{}), &loadbalancer.Snapshot{}}
		close(b.filled)
		p := New(Config{Node: "n1", Devices: []string{"eth0"}, XDP: asked}, k, b, slog.New(slog.DiscardHandler))
		p.take(nodeBatch(&clustermesh.Node{Name: "n1", Addresses: []netip.Addr{node4, node6}}))
		now := time.Now()
		for range lookAgain / retryAfter {
			p.step(now)
			now = now.Add(retryAfter)
		}
		if err := p.Snapshot().Problem; (err != nil) != asked {
			t.Errorf("asked %v: the problem is %v", asked, err)
		}
		if n := strings.Count(strings.Join(k.told, "\n"), "attach eth0"); n != 1 {
			t.Errorf("asked %v: attached %d times", asked, n)
		}
	}
}

// What an earlier process attached is left, where its maps are written no more and nothing
// of this one takes its place; where they are written it goes on.
func TestOutdated(t *testing.T) {
	for _, outdated := range []bool{true, false} {
		for _, c := range []struct {
			what   string
			do     func(p *Packets)
			leaves bool
		}{
			{"the cluster's nodes are not known yet", func(*Packets) {}, false},
			{"the cluster lacks this one", func(p *Packets) { p.take(nodesSynced()) }, true},
			{"there is no uplink", func(p *Packets) {
				p.config.Devices = nil
				p.take(nodeBatch(&clustermesh.Node{Name: "n1", Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.200")}}))
			}, true},
		} {
			k, b := &notebook{}, &full{make(chan struct{}), &loadbalancer.Snapshot{}}
			close(b.filled)
			p := New(Config{Node: "n1", Devices: []string{"eth0"}, Outdated: outdated}, k, b, slog.New(slog.DiscardHandler))
			c.do(p)
			if err := bpftest.NewNet(t).Do(func() error { // without devices
				for i := range time.Duration(3) {
					p.step(time.Now().Add(i * lookAgain))
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			left := 0
			for _, told := range k.told {
				if told == "attach " {
					left++
				}
			}
			if want := map[bool]int{true: 1}[outdated && c.leaves]; left != want {
				t.Errorf("%s, outdated %v: left %d times, want %d: %q", c.what, outdated, left, want, k.told)
			}
		}
	}
}

// nodesSynced says that all nodes of this cluster were told.
func nodesSynced() (b view.Batch) {
	for _, area := range []clustermesh.Area{clustermesh.Export, clustermesh.Private} {
		key := clustermesh.Key{Area: area, Kind: clustermesh.KindSynced, Name: string(clustermesh.KindNodes)}
		b.Events = append(b.Events, etcd.Event[clustermesh.Object]{Op: etcd.Synced, Key: key.String()})
	}
	return b
}
