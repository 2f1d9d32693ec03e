package loadbalancer

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"

	"tombolo.io/tombolo/clustermesh"
)

// testLimits leave little room beside what is used, so that numbers come to
// other owners soon. The nine nodes of the world may have two numbers each after
// a restart: one that is pinned, and one that a new backend took before the
// pinned one's name was known.
var testLimits = Limits{Services: 72, Slots: 1 << 18, Backends: 2500, Nodes: 20}

func TestRandomStepsInMemory(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { randomSteps(t, seed, 300, newRAM(testLimits)) })
	}
}

// randomSteps changes the world again and again while readers read.
func randomSteps(t *testing.T, seed uint64, steps int, k kernel) {
	h := newHarness(t, seed, k)
	h.tell(true)
	h.converge()
	stop := h.read(2)
	defer stop()
	h.steps(steps)
}

// After every single write no client is led to a service that does not want the
// frontend, or is not for the client.
func TestEveryWriteInMemory(t *testing.T) {
	h := newHarness(t, 7, newRAM(testLimits))
	rd := &mapReader{h: h, r: rand.New(rand.NewPCG(7, 9)), held: map[Frontend]reference{}}
	h.target.wrote = func() {
		for r, c := range h.claims {
			if got, allowed := rd.selects(r), c.during(func() {}); got&^allowed != 0 && !h.Failed() {
				h.Errorf("%v leads %v to a backend of the services %b; wanted by %b", r.frontend, r.client, got, allowed)
			}
		}
	}
	h.tell(true)
	h.converge()
	h.steps(200)
}

// steps changes the world, the agent or the verdicts so many times, and compares
// after each.
func (h *harness) steps(n int) {
	for i := 0; i < n && !h.Failed(); i++ {
		h.perturb()
		h.converge()
	}
}

// perturb changes the world, the agent or the verdicts.
func (h *harness) perturb() {
	switch h.r.IntN(8) {
	case 0:
		h.restart()
	case 1:
		h.crash()
	case 2:
		h.judge()
	case 3:
		h.change(func() {
			h.target.failing = 1 + h.r.IntN(80)
			h.target.failGrace.Store(h.r.IntN(2) == 0)
		})
	default:
		h.change(func() {})
	}
}

// change changes the world a few times, under conditions, and lets the agent
// work a little after each.
func (h *harness) change(conditions func()) {
	conditions()
	for range 1 + h.r.IntN(4) {
		for range 1 + h.r.IntN(3) {
			h.w.step()
		}
		h.tell(false)
		h.drain(h.r.IntN(4))
	}
}

// judge passes verdicts on.
func (h *harness) judge() {
	c := uint16(1 + h.r.IntN(3))
	health := Health(h.r.IntN(16))
	if h.r.IntN(2) == 0 {
		h.clusters[c] = health & ClusterDown
		h.l.judge(Verdict{Cluster: c, Down: h.clusters[c], Known: Everything})
		return
	}
	who := nodeName{c, nodeOf(h.r.IntN(worldNodes))}
	h.nodes[who] = health
	h.l.judge(Verdict{Cluster: who.cluster, Node: who.name, Down: health, Known: Everything})
}

// judgeAll tells a new agent the verdicts, as its health part would.
func (h *harness) judgeAll() {
	for c, health := range h.clusters {
		h.l.judge(Verdict{Cluster: uint16(c), Down: health, Known: Everything})
	}
	for who, health := range h.nodes {
		h.l.judge(Verdict{Cluster: who.cluster, Node: who.name, Down: health, Known: Everything})
	}
}

// crash kills the agent between two writes.
func (h *harness) crash() {
	func() {
		defer func() {
			if err := recover(); err != nil && err != errCrash {
				panic(err)
			}
		}()
		h.change(func() { h.target.crashIn = 1 + h.r.IntN(60) })
	}()
	h.target.crashIn = 0
	h.restart()
}

// restart starts the agent anew, at first without etcd, then without a mirror.
func (h *harness) restart() {
	before := h.selects()
	h.start()
	h.drain(3)
	if after := h.selects(); !maps.Equal(before, after) {
		h.Fatalf("a restart without etcd changed what is selected:\n%v\n%v", before, after)
	}
	h.judgeAll()
	if h.r.IntN(3) == 0 {
		h.tellServicesFirst(before)
		return
	}
	if h.r.IntN(2) == 0 {
		c := 1 + h.r.IntN(2)
		away := clusterNames[c]
		h.unsynced[away] = true
		guarded := h.guarded()
		for range h.r.IntN(3) {
			h.w.step()
		}
		h.tell(true)
		h.drain(5)
		if h.w.peers[c] == joined {
			h.retained(before, uint16(c+1), guarded)
		}
		h.unsynced[away] = false
		h.tell(false)
		return
	}
	h.tell(true)
}

// tellServicesFirst tells a new agent of the own services while nothing is known
// of their endpoints, or of the nodes, which must change nothing, and then the rest.
func (h *harness) tellServicesFirst(before map[selection]bool) {
	h.without = []clustermesh.Kind{clustermesh.KindSlices, clustermesh.KindNodes}[h.r.IntN(2)]
	h.tell(true)
	h.drain(5)
	if after := h.selects(); !maps.Equal(before, after) {
		h.Fatalf("services without %s changed what is selected:\n%v\n%v", h.without, before, after)
	}
	h.without = ""
	h.store = map[string]clustermesh.Object{}
	h.tell(true)
}

// selection is a backend to which some slot of a frontend's tables leads.
type selection struct {
	frontend Frontend
	cluster  uint16
	address  netip.AddrPort
}

// guarded says which frontends lead to a service in the maps that has ranges.
func (h *harness) guarded() map[Frontend]bool {
	out := map[Frontend]bool{}
	for _, f := range worldFrontends() {
		number, err := h.k.frontend(f)
		if err != nil {
			h.Fatal(err)
		}
		out[f] = number != 0 && h.k.Service(number).Guard.Packets
	}
	return out
}

// retained checks that the backends of a cluster of which nothing is known stay, but of
// services that have ranges since, or none any more: those begin anew.
func (h *harness) retained(before map[selection]bool, cluster uint16, guarded map[Frontend]bool) {
	after := h.selects()
	for s := range before {
		wants := h.w.wants(s.frontend)
		if len(wants) == 1 && guarded[s.frontend] != (len(h.w.services[0][wants[0]].guards(s.frontend)) > 0) {
			continue
		}
		if s.cluster != cluster || len(wants) != 1 || wants[0] != serviceOf(s.address.Addr()) || !h.w.services[0][wants[0]].global {
			continue
		}
		if !after[s] {
			h.Fatalf("%v was dropped while nothing is known of its cluster", s)
		}
	}
}

// selects returns all selections that the maps can make: of backends that a program
// would take, or would try when it finds no other.
func (h *harness) selects() map[selection]bool {
	defer h.still()()
	out := map[selection]bool{}
	for _, f := range worldFrontends() {
		number, err := h.k.frontend(f)
		if err != nil {
			h.Fatal(err)
		}
		if number == 0 {
			continue
		}
		seen := make([]bool, h.k.Limits().Backends)
		for _, at := range h.k.Service(number).Tables {
			for _, n := range h.k.Slots(at) {
				if seen[n] {
					continue
				}
				seen[n] = true
				b := h.k.Backend(n)
				if h.k.Usable(n) && b.Service == number && (b.Standing == Active || b.Standing == Silent) {
					out[selection{f, b.Cluster, b.Address}] = true
				}
			}
		}
	}
	return out
}
