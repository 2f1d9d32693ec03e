package packets

import (
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"tombolo.io/tombolo/agent/health/probe"
	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/clustermesh"
)

// questions is an Asker that notes what it is asked, and answers as it is told.
type questions struct {
	sources []netip.Addr
	asked   []netip.Addr
	answers []netip.Addr
	at      time.Time
	failing error
	drains  error
	closed  bool
}

func (q *questions) Send(t probe.Target) (uint64, error) {
	q.asked = append(q.asked, t.Address)
	return 0, q.failing
}

func (q *questions) Drain() (probe.Batch, error) {
	var b probe.Batch
	for _, a := range q.answers {
		b.Replies = append(b.Replies, probe.Reply{Target: probe.Target{Address: a, Kind: bpf.ProbeNode}, Arrived: q.at})
	}
	q.answers = nil
	return b, q.drains
}

func (q *questions) Close() error {
	q.closed = true
	return nil
}

// TestTunnelsOpen holds that a node takes tunnels from its first answer on, until the third
// question without one, and that one that is not asked any more is forgotten.
func TestTunnelsOpen(t *testing.T) {
	q := &questions{}
	now := time.Unix(1e9, 0)
	ends := []netip.Addr{node4, node6}
	tunnels := newTunnels(func(sources []netip.Addr) (Asker, error) {
		q.sources = sources
		return q, nil
	})
	step := func(after time.Duration, answers []netip.Addr, asked []netip.Addr, open ...netip.Addr) {
		t.Helper()
		now = now.Add(after)
		q.answers, q.at, q.asked = answers, now, nil
		tunnels.lead(now, ends)
		if err := tunnels.step(now, []netip.Addr{web}); err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(q.asked, netip.Addr.Compare)
		if !slices.Equal(q.asked, asked) {
			t.Errorf("at %v: asked %v, want %v", now.Unix(), q.asked, asked)
		}
		for _, a := range []netip.Addr{node4, node6} {
			if got, want := tunnels.takes(a, now), slices.Contains(open, a); got != want {
				t.Errorf("at %v: %v is open: %v, want %v", now.Unix(), a, got, want)
			}
		}
	}
	all := slices.Clone(ends)
	step(0, nil, all)
	step(askAtFirst/2, nil, nil)
	step(askAtFirst/2, nil, all)
	step(0, []netip.Addr{node4}, nil, node4)
	step(askAtFirst, []netip.Addr{node6}, nil, node4, node6)
	step(askEvery-askAtFirst, nil, all, node4, node6)
	step(askEvery, nil, all, node4, node6)
	q.failing = errors.New("no way")
	step(askEvery, nil, all, node4, node6)
	step(askAtFirst, nil, nil, node6)
	step(askAtFirst, nil, nil)
	step(askEvery-2*askAtFirst, nil, all)
	step(0, []netip.Addr{node4}, nil, node4)
	ends = ends[:0]
	step(0, nil, nil)
	ends = all
	step(0, nil, all)
	if !slices.Equal(q.sources, []netip.Addr{web}) || q.closed {
		t.Errorf("asked from %v, closed %v", q.sources, q.closed)
	}
	if err := tunnels.step(now, []netip.Addr{idle}); err != nil || !q.closed || !slices.Equal(q.sources, []netip.Addr{idle}) {
		t.Errorf("with another source: %v, asked from %v, closed %v", err, q.sources, q.closed)
	}
}

// TestTellTunnels holds that the kernel is told what changed of nodes, and of who has
// no number any more; and that a node that the store does not name any more keeps the way
// of its flows, and no other node has that by its number.
func TestTellTunnels(t *testing.T) {
	k := &notebook{}
	p := New(Config{Node: "n1", Ask: func([]netip.Addr) (Asker, error) { return &questions{}, nil }}, k, &full{make(chan struct{}), &loadbalancer.Snapshot{}}, slog.New(slog.DiscardHandler))
	n2 := &clustermesh.Node{Name: "n2", Addresses: []netip.Addr{node4}}
	n3 := &clustermesh.Node{Name: "n3", Addresses: []netip.Addr{node6}}
	takes := true
	open := func(n *clustermesh.Node) bpf.Tunnel {
		v4, v6 := sources(n)
		return bpf.Tunnel{V4: v4, V6: v6, Open4: v4.IsValid() && takes}
	}
	tell := func(what string, numbered map[uint32]string, others []*clustermesh.Node, told ...string) {
		t.Helper()
		if err := p.tellTunnels(tunnelsTo(numbered, others, open, p.led)); err != nil {
			t.Fatal(err)
		}
		slices.Sort(k.told)
		if !slices.Equal(k.told, told) {
			t.Errorf("%s: told %q, want %q", what, k.told, told)
		}
		k.told = nil
	}
	both, numbered := []*clustermesh.Node{n2, n3}, map[uint32]string{7: "n2", 9: "n3"}
	tell("two nodes", numbered, both, "tunnel 7 172.20.1.1 true invalid IP false", "tunnel 9 invalid IP false fd00:20:1::1 false")
	tell("the same", numbered, both)
	takes = false
	tell("one is closed", map[uint32]string{7: "n2"}, both, "tunnel 7 172.20.1.1 false invalid IP false", "tunnel 9 invalid IP false invalid IP false")
	takes = true
	tell("it is open", map[uint32]string{7: "n2"}, both, "tunnel 7 172.20.1.1 true invalid IP false")
	tell("the store names none", map[uint32]string{7: "n2"}, nil, "tunnel 7 172.20.1.1 false invalid IP false")
	tell("its number is another's", map[uint32]string{7: "n9"}, nil, "tunnel 7 invalid IP false invalid IP false")
}

// TestTunnelsFirst holds that packets are led once it is known which nodes take tunnels, or
// nobody said so for a while; and that a change of that is published.
func TestTunnelsFirst(t *testing.T) {
	for _, answers := range []bool{true, false} {
		k, q := &notebook{}, &questions{}
		b := &full{make(chan struct{}), &loadbalancer.Snapshot{}}
		close(b.filled)
		p := New(Config{Node: "n1", Devices: []string{"eth0"}, Ask: func([]netip.Addr) (Asker, error) { return q, nil }}, k, b, slog.New(slog.DiscardHandler))
		p.take(nodeBatch(&clustermesh.Node{Name: "n1", Addresses: []netip.Addr{node4}}))
		p.take(otherBatch(&clustermesh.Node{Name: "n2", Addresses: []netip.Addr{web}}))
		now := time.Now()
		attached := func() bool {
			return slices.ContainsFunc(k.told, func(s string) bool { return s == "attach eth0" })
		}
		p.step(now)
		if attached() {
			t.Errorf("answers %v: attached before it is known who takes tunnels", answers)
		}
		if answers {
			q.answers, q.at = []netip.Addr{web}, now
		}
		p.step(now.Add(hearEvery))
		if attached() != answers {
			t.Errorf("answers %v: a moment later attached is %v", answers, attached())
		}
		p.step(now.Add(answerWithin))
		if !attached() {
			t.Errorf("answers %v: it is late, and nothing is attached", answers)
		}
		if ways := p.Snapshot().Tunnels; len(ways) != 1 || ways[0].Node != "n2" || ways[0].Address != web || ways[0].Open != answers {
			t.Errorf("answers %v: published is %+v", answers, ways)
		}
		if answers {
			// The kernel hears of it also while nobody can be asked.
			q.drains = errors.New("no socket")
			p.led[7] = led{"n9", bpf.Tunnel{V4: web, Open4: true}}
			p.step(now.Add(openFor))
			if p.Snapshot().Problem == nil || !slices.Contains(k.told, "tunnel 7 invalid IP false invalid IP false") {
				t.Errorf("problem %v, told %q", p.Snapshot().Problem, k.told)
			}
			if ways := p.Snapshot().Tunnels; len(ways) != 1 || ways[0].Open {
				t.Errorf("nobody answers any more: published is %+v", ways)
			}
		}
	}
}
