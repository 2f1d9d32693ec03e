package gossip

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/etcdtest"
)

// rig is a cluster on loopback: node i is n<i>, at 127.0.0.<i>.
type rig struct {
	testing.TB
	cluster string
	port    uint16
	ring    *clustermesh.Keyring
	dirs    map[int]string
	// log is that of n1.
	log     *slog.Logger
	running []*runner
}

func newRig(t testing.TB) *rig {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return &rig{TB: t, cluster: "east", port: uint16(l.Addr().(*net.TCPAddr).Port), ring: ringOf(0, clustermesh.NewGossipSecret()), dirs: map[int]string{}}
}

func ringOf(use uint8, secrets ...clustermesh.GossipSecret) *clustermesh.Keyring {
	r := &clustermesh.Keyring{Use: use}
	for i, s := range secrets {
		r.Keys = append(r.Keys, clustermesh.GossipKey{Secret: s, Since: time.Unix(int64(i+1), 0)})
	}
	return r
}

func name(i int) string   { return fmt.Sprintf("n%d", i) }
func at(i int) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, byte(i)}) }
func named(all ...int) (out []string) {
	for _, i := range all {
		out = append(out, name(i))
	}
	return out
}

// runner is a pool that runs.
type runner struct {
	*Pool
	batches chan view.Batch
	stop    func()
	members []string
	heard   map[string]int
}

func (r *rig) logOf(i int) *slog.Logger {
	if i == 1 && r.log != nil {
		return r.log
	}
	return etcdtest.Log().With("node", i)
}

// start starts the pool of node i, which knows nothing yet.
func (r *rig) start(i int) *runner {
	if r.dirs[i] == "" {
		r.dirs[i] = r.TempDir()
	}
	p := &runner{Pool: New(Config{Node: name(i), RunDir: r.dirs[i], Port: r.port}, r.logOf(i)), batches: make(chan view.Batch), heard: map[string]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx, p.batches) }()
	stopped := false
	p.stop = func() {
		if cancel(); !stopped {
			stopped = true
			if err := <-done; err != nil {
				r.Error(err)
			}
		}
	}
	r.Cleanup(p.stop)
	r.running = append(r.running, p)
	return p
}

// batch is what the store says: these nodes, and the rig's keys.
func (r *rig) batch(nodes ...int) view.Batch {
	var b view.Batch
	put := func(area clustermesh.Area, o clustermesh.Object) {
		b.Events = append(b.Events, etcd.Event[clustermesh.Object]{Op: etcd.Put, Key: clustermesh.KeyOf(area, o).String(), Value: o, Revision: 1})
	}
	put(clustermesh.Export, &clustermesh.Cluster{Name: r.cluster, ID: 1})
	for _, i := range nodes {
		put(clustermesh.Export, &clustermesh.Node{Name: name(i), Addresses: []netip.Addr{at(i)}})
	}
	for _, area := range []clustermesh.Area{clustermesh.Export, clustermesh.Private} {
		key := clustermesh.Key{Area: area, Kind: clustermesh.KindSynced, Name: string(clustermesh.KindNodes)}
		b.Events = append(b.Events, etcd.Event[clustermesh.Object]{Op: etcd.Synced, Key: key.String()})
	}
	put(clustermesh.Private, r.ring)
	return b
}

// learn has a pool take a batch in: it takes the next when it has done what this one says.
func (p *runner) learn(b view.Batch) {
	p.batches <- b
	p.batches <- view.Batch{}
}

// pool starts nodes that know each other and waits until they do.
func (r *rig) pool(nodes ...int) []*runner {
	var all []*runner
	for _, i := range nodes {
		p := r.start(i)
		p.learn(r.batch(nodes...))
		all = append(all, p)
	}
	r.until("all are members", func() bool { return together(nodes, all...) })
	return all
}

// gathered starts nodes, as pool does, and does not look at them all the time.
func (r *rig) gathered(nodes []int) []*runner {
	var all []*runner
	for _, i := range nodes {
		p := r.start(i)
		p.learn(r.batch(nodes...))
		all = append(all, p)
	}
	for _, p := range all {
		for len(p.members) < len(nodes) {
			p.members = <-p.Members()
		}
	}
	return all
}

// look takes in what the pool tells.
func (p *runner) look() {
	for {
		select {
		case p.members = <-p.Members():
		case m := <-p.Received():
			p.heard[m.From+" "+string(m.Payload)]++
		default:
			return
		}
	}
}

// together reports whether the pools have exactly these members.
func together(nodes []int, all ...*runner) bool {
	return !slices.ContainsFunc(all, func(p *runner) bool { p.look(); return !slices.Equal(p.members, named(nodes...)) })
}

// until looks until the condition holds.
func (r *rig) until(what string, holds func() bool) {
	r.Helper()
	deadline := time.After(30 * time.Second)
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-deadline:
			for _, p := range r.running {
				r.Logf("%s: members %v, %+v", p.config.Node, p.members, *p.Snapshot())
			}
			r.Fatalf("%s: not so after 30 s", what)
		}
	}
}
