package loadbalancer

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
)

// harness drives a LoadBalancer step by step, without its goroutine, and
// compares the maps with the world.
type harness struct {
	*testing.T
	r      *rand.Rand
	k      kernel
	target *flaky
	w      *world
	l      *LoadBalancer
	now    time.Time
	// store is what the agent's view was told; unsynced are the mirrors of
	// which it is told nothing, vouched those of which it was told that they are whole.
	store             map[string]clustermesh.Object
	unsynced, vouched map[string]bool
	// without is a table of which the agent is told nothing, nor that it is synced.
	without  clustermesh.Kind
	clusters [4]Health
	nodes    map[nodeName]Health
	claims   map[reach]*claims
	gate     sync.RWMutex // held while the harness looks: see still
	// strict: after each step of the agent no frontend may lead to who is not ready.
	// told and toldAt are who is, as far as the agent was told since.
	strict bool
	told   map[selection]bool
	toldAt [4]map[netip.Addr]bool
	// batch is how many keys are handed over to other cores at once; zero is as in
	// earnest, which is more than this world has.
	batch int
}

func newHarness(t *testing.T, seed uint64, k kernel) *harness {
	r := rand.New(rand.NewPCG(seed, 0))
	h := &harness{
		T: t, r: r, k: k, target: &flaky{kernel: k, r: r, refused: map[Frontend]bool{}},
		w: &world{r: r}, now: time.Unix(1e9, 0),
		nodes: map[nodeName]Health{}, unsynced: map[string]bool{}, claims: map[reach]*claims{},
	}
	for _, r := range worldReaches() {
		h.claims[r] = new(claims)
	}
	h.w.populate()
	h.start()
	return h
}

// start starts an agent over the maps as they are; it knows nothing.
func (h *harness) start() {
	h.store, h.vouched = map[string]clustermesh.Object{}, map[string]bool{}
	h.l = New(Config{Node: "n0", NodePorts: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}, h.target, slog.New(slog.DiscardHandler))
	if h.batch > 0 {
		h.l.batch = h.batch
	}
	if err := h.l.restore(); err != nil {
		h.Fatalf("restarting: %v", err)
	}
}

// known returns what the agent's etcd shows it of the world.
func (h *harness) known() map[string]clustermesh.Object {
	out := h.w.objects()
	maps.DeleteFunc(out, func(k string, _ clustermesh.Object) bool {
		cluster, rest, _ := strings.Cut(strings.TrimPrefix(k, clustermesh.Root+"mirror/"), "/")
		return h.unsynced[cluster] && rest != "cluster" || h.without != "" && strings.Contains(k, "/"+string(h.without)+"/")
	})
	return out
}

// tell tells the agent what has changed; first, that the tables are synced.
func (h *harness) tell(first bool) {
	for r, c := range h.claims {
		c.widen(h.w.reaches(r))
	}
	goOn := h.still()
	now := h.known()
	b := h.w.difference(h.store, now)
	if h.strict {
		h.told, h.toldAt = h.w.usable()
	}
	goOn()
	if first {
		b.Events = append(b.Events, synced(clustermesh.Export, "")...)
		b.Events = append(b.Events, synced(clustermesh.Private, "")...)
	}
	b.Events = append(b.Events, h.markers(first)...)
	if h.without != "" {
		b.Events = slices.DeleteFunc(b.Events, func(e etcd.Event[clustermesh.Object]) bool {
			return e.Op == etcd.Synced && strings.HasSuffix(e.Key, "/"+string(h.without))
		})
	}
	h.store = now
	h.l.take(b)
}

// markers returns the events that say which mirrors are whole and which are not any more:
// those of which the agent was not told so, or all of them first.
func (h *harness) markers(first bool) (out []etcd.Event[clustermesh.Object]) {
	for c, name := range clusterNames {
		whole, was := c > 0 && h.w.peers[c] != left && !h.unsynced[name], h.vouched[name]
		if h.vouched[name] = whole; whole == was && !(first && whole) {
			continue
		}
		for _, e := range synced(clustermesh.Mirror, name) {
			if !whole {
				e.Op = etcd.Unsynced
			}
			out = append(out, e)
		}
	}
	return out
}

// drain lets the agent work until only what cannot succeed is left, or the
// rounds are over. It reports whether all was done.
func (h *harness) drain(rounds int) bool {
	for range rounds {
		h.l.settle(h.now)
		if h.strict && h.l.ready {
			h.onlyUsable()
		}
		if h.l.state.limbo.running {
			h.l.graceEnded(<-h.l.graceDone, h.now)
			continue
		}
		if h.l.queue.Len() > 0 {
			continue
		}
		if h.l.state.limbo.fresh.empty() && h.onlyTaken() {
			return true
		}
		h.now = h.now.Add(max(h.l.nextWake(h.now), time.Millisecond))
	}
	return false
}

// onlyTaken reports whether the only failures are frontends that others have.
func (h *harness) onlyTaken() bool {
	for _, f := range h.l.queue.Failures() {
		if !errors.Is(f.Err, errTaken) || errors.Is(f.Err, errFlaky) || errors.Is(f.Err, errSettling) {
			return false
		}
	}
	return true
}

// converge lets the agent finish and compares the maps with the world.
func (h *harness) converge() {
	h.Helper()
	h.target.failing, h.target.crashIn = 0, 0
	h.target.failGrace.Store(false)
	if !h.drain(2000) {
		h.Fatalf("the agent does not come to an end: %d due, failures %v", h.l.queue.Len(), h.l.queue.Failures())
	}
	h.compare()
	h.leaks()
	for r, c := range h.claims {
		c.narrow(h.w.reaches(r))
	}
}

// compare compares what the maps select with what the world says.
func (h *harness) compare() {
	h.Helper()
	defer h.still()()
	for _, f := range worldFrontends() {
		number, err := h.k.frontend(f)
		if err != nil {
			h.Fatal(err)
		}
		wants := h.w.wants(f)
		if len(wants) == 0 || number == 0 {
			if len(wants) > 0 || number != 0 {
				h.Errorf("%v leads to service %d, wanted by %v", f, number, wants)
			}
			continue
		}
		if diff := h.differs(h.w.expect(wants[0], f, h.down), f, number); diff != "" {
			h.Fatalf("%v leads to service %d, and not to s%d, the first of %v: %s", f, number, wants[0], wants, diff)
		}
		for _, client := range worldClients[f.Address.Addr().Is6()] {
			if got := h.lets(number, client); got != h.w.lets(wants[0], f, client) {
				h.Errorf("%v lets %v in: %v; s%d has the ranges %v", f, client, got, wants[0], h.w.services[0][wants[0]].ranges)
			}
		}
	}
	for c := range clusterNames {
		if got := h.k.ClusterHealth(uint16(c + 1)); got != h.clusters[c+1] {
			h.Errorf("health of cluster %d is %d, want %d", c+1, got, h.clusters[c+1])
		}
	}
}

// lets says whether a client may come to a service, as programs find out.
func (h *harness) lets(number uint32, client netip.Addr) bool {
	if !h.k.Service(number).Guard.Packets {
		return true
	}
	in, err := h.k.letsIn(number, client)
	if err != nil {
		h.Error(err)
	}
	return in
}

// down says whether a verdict holds an endpoint of a family down.
func (h *harness) down(cluster, endpoint int, family Health) bool {
	node := h.nodes[nodeName{uint16(cluster + 1), nodeOf(endpoint)}]
	if endpoint%3 == 0 { // at an address of the node
		return h.clusters[cluster+1]&ClusterDown&family != 0 || node&NodeDown&family != 0
	}
	return h.clusters[cluster+1]&ClusterDown&family != 0 || node&PodsDown&family != 0
}

// differs reads a service's tables slot by slot.
func (h *harness) differs(x expectation, f Frontend, number uint32) string {
	s := h.k.Service(number)
	if s.Affinity != x.affinity {
		return fmt.Sprintf("affinity %v, want %v", s.Affinity, x.affinity)
	}
	if s.Guard != x.guard {
		return fmt.Sprintf("guard %+v, want %+v", s.Guard, x.guard)
	}
	for t := range tiers {
		want := x.slots(t)
		if int(s.Tables[t].Size) != len(want) {
			return fmt.Sprintf("tier %d has %d slots, want %d", t, s.Tables[t].Size, len(want))
		}
		// A backend is looked at once, in the first slot that has it.
		seen := map[uint32]uint32{}
		for i, n := range h.k.Slots(s.Tables[t]) {
			c := x.tiers[t][want[i]]
			if which, ok := seen[n]; !ok {
				if diff := h.isNot(c, f, number, n); diff != "" {
					return fmt.Sprintf("slot %d of tier %d: %s", i, t, diff)
				}
				seen[n] = want[i]
			} else if which != want[i] {
				return fmt.Sprintf("slot %d of tier %d is %+v, want %v", i, t, h.k.Backend(n), c)
			}
		}
	}
	return ""
}

// isNot says in what a backend of a service's frontend is not the choice that it should be.
func (h *harness) isNot(c choice, f Frontend, number, n uint32) string {
	b := h.k.Backend(n)
	node := nodeName{uint16(c.cluster + 1), nodeOf(c.endpoint)}
	health := h.nodes[node]
	if node == (nodeName{1, h.l.config.Node}) {
		health |= ThisNode
	}
	switch {
	case !h.k.Usable(n) || b.Service != number || b.Protocol != f.Protocol:
		return fmt.Sprintf("it names backend %d, which is %+v", n, b)
	case b.Address != c.address || b.Cluster != node.cluster || b.OnNode != (c.endpoint%3 == 0):
		return fmt.Sprintf("it is %+v, want %v", b, c)
	case b.Node == 0 || h.k.NodeHealth(b.Node) != health:
		return fmt.Sprintf("node %d of %v is %d, want %d", b.Node, node, h.k.NodeHealth(b.Node), health)
	}
	return ""
}

// leaks compares what is booked as used with what is.
func (h *harness) leaks() {
	h.Helper()
	defer h.still()()
	s := h.l.state
	services, backends, slots, ranges := 0, 0, 0, 0
	nodes := map[uint32]bool{}
	for _, ports := range s.byName {
		for _, p := range ports {
			services++
			ranges += len(p.ranges)
			inTable := map[uint32]bool{}
			for t := range tiers {
				slots += int(p.tables[t].at.Size)
				for _, n := range h.k.Slots(p.tables[t].at) {
					inTable[n] = true
				}
			}
			for _, b := range p.backends {
				backends++
				nodes[b.node] = true
				if got := h.k.Backend(b.number).Standing; got != b.standing || inTable[b.number] != (got == Active) {
					h.Fatalf("backend %d of %v has standing %d, booked %d; in a table: %v", b.number, p.service, got, b.standing, inTable[b.number])
				}
			}
		}
	}
	if got := s.nodes.published(); !maps.Equal(got, s.nodes.byNumber) {
		h.Fatalf("readers are told that nodes have the numbers %v, they have %v", got, s.nodes.byNumber)
	}
	inMap := 0
	if err := h.k.EachRange(func(Range) { inMap++ }); err != nil || inMap != ranges || s.ranges != ranges {
		h.Fatalf("there are %d ranges, booked %d, of which the services have %d (%v)", inMap, s.ranges, ranges, err)
	}
	usable := 0
	for n := range h.k.Limits().Backends {
		if h.k.Usable(n) {
			usable++
		}
	}
	if got := []int{s.services.used(), s.backends.used(), usable, int(s.slots.total - s.slots.free), s.nodes.numbers.used()}; fmt.Sprint(got) !=
		fmt.Sprint([]int{services, backends, backends, slots, len(nodes)}) {
		h.Fatalf("in use %v, of which the services have %d services, %d backends, %d slots, %d nodes", got, services, backends, slots, len(nodes))
	}
	if len(s.pinned) > 0 {
		h.Fatalf("%d ports are still unclaimed", len(s.pinned))
	}
}
