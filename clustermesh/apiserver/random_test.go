package apiserver

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/identity"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/etcd/election"
	"tombolo.io/tombolo/internal/etcdtest"
)

// world is a random cluster: what its source says, and a leader on a real etcd.
type world struct {
	*testing.T
	rand    *rand.Rand
	client  *etcd.Client
	fence   etcd.Fence
	catalog *catalog
	term    *term
	objects map[source.Key]source.Object
}

// Hundreds of random changes, by ones and by many, watched and found by full
// passes, with new terms in between: after each, the store has what a model
// says that looks at all objects and remembers nothing.
func TestRandomChanges(t *testing.T) {
	s := etcdtest.New(t)
	client := s.Dial()
	lead, err := election.Campaign(t.Context(), client, etcdtest.Log(), election.Config{Prefix: electionPrefix, Ledger: ledgerPrefix, Name: "n1", TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer lead.Resign()
	w := &world{T: t, rand: rand.New(rand.NewPCG(3, 4)), client: client, fence: lead.Fence, catalog: newCatalog(), objects: map[source.Key]source.Object{}}
	w.catalog.apply(source.Update{Synced: source.Kinds[:]})
	w.begin()
	for step := range 800 {
		switch w.rand.IntN(20) {
		case 0:
			w.begin()
		default:
			w.change(1 + w.rand.IntN(4))
		}
		w.check(step)
	}
}

// begin begins a term, and now and then the source has changed unseen before.
func (w *world) begin() {
	w.Helper()
	ids := identity.Config{Cluster: "east", ID: 1, Grace: time.Hour}
	t := newTerm(w.catalog, &Config{Cluster: clustermesh.Cluster{Name: "east", ID: 1}, Shrink: source.Shrink{Allow: true}}, ids)
	t.relearning = nil // the store is whole; relearn_test.go has the other case
	t.epoch, t.remote = "epoch", true
	if w.rand.IntN(2) == 0 {
		w.catalog.apply(w.update(3))
	}
	w.must(t.learn(w.Context(), w.client, w.fence, time.Now()))
	w.must(t.pass(time.Now()))
	w.term = t
	w.must(t.writer.Flush(w.Context()))
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) change(n int) {
	w.Helper()
	u := w.update(n)
	u.Full = w.rand.IntN(3) == 0
	w.must(w.term.take(w.catalog.apply(u), u.Full, time.Now()))
	w.must(w.term.writer.Flush(w.Context()))
}

// update makes a random update of n objects.
func (w *world) update(n int) (u source.Update) {
	for range n {
		k, o := w.object()
		if w.rand.IntN(3) == 0 {
			delete(w.objects, k)
			u.Changes = append(u.Changes, source.Change{Key: k})
			continue
		}
		w.objects[k] = o
		u.Changes = append(u.Changes, source.Change{Key: k, Objects: []source.Object{o}})
	}
	return u
}

// object makes a random object of a few names.
func (w *world) object() (source.Key, source.Object) {
	name := clustermesh.ServiceName{Namespace: "shop", Name: fmt.Sprint("web", w.rand.IntN(4))}
	address := func() netip.Addr { return netip.AddrFrom4([4]byte{10, 1, 0, byte(1 + w.rand.IntN(8))}) }
	switch w.rand.IntN(6) {
	case 0:
		global := w.rand.IntN(2) == 0
		return serviceUnit(name), &clustermesh.Service{Name: name, Global: global, Shared: global && w.rand.IntN(2) == 0}
	case 1:
		slice := fmt.Sprint("s", w.rand.IntN(6))
		return source.Key{Kind: source.EndpointSlice, Namespace: "shop", Name: slice},
			&clustermesh.EndpointSlice{Service: name, Name: slice, Endpoints: []clustermesh.Endpoint{{Address: address(), Ready: w.rand.IntN(2) == 0}}}
	case 2:
		node := fmt.Sprint("n", w.rand.IntN(4))
		return source.Key{Kind: source.Node, Name: node}, &clustermesh.Node{Name: node, Zone: fmt.Sprint("z", w.rand.IntN(2))}
	case 4:
		return exportUnit(name), &source.Export{Service: name, Labels: map[string]string{"v": fmt.Sprint(w.rand.IntN(2))}}
	case 3:
		return source.Key{Kind: source.Namespace, Name: "shop"}, &source.Labels{Namespace: "shop", Labels: map[string]string{"team": fmt.Sprint("t", w.rand.IntN(2))}}
	default:
		// Each pod has addresses of its own: who has one that several claim is
		// the registry's to say, and tested there.
		n := w.rand.IntN(4)
		pod := fmt.Sprint("p", n)
		return source.Key{Kind: source.Pod, Namespace: "shop", Name: pod},
			&source.Workload{Namespace: "shop", Name: pod, Labels: map[string]string{"app": fmt.Sprint("a", w.rand.IntN(3))},
				Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 2, byte(n), byte(w.rand.IntN(2))})}}
	}
}

// check compares the store with the model: where everything lies, and what its
// labels are where it is an address.
func (w *world) check(step int) {
	w.Helper()
	got, labels := map[string]string{}, map[string]string{}
	_, err := w.client.List(w.Context(), clustermesh.Root, func(kv etcd.KV) error {
		o, err := clustermesh.DecodeAt(kv.Key, kv.Value)
		w.must(err)
		switch o := o.(type) {
		case *clustermesh.Identity:
			labels[fmt.Sprint(o.ID)] = fmt.Sprint(o.Labels)
		case *clustermesh.EndpointIdentity:
			got[short(kv.Key)] = fmt.Sprint(o.Identity)
		case *clustermesh.EndpointSlice:
			got[short(kv.Key)] = fmt.Sprint(o.Endpoints[0].Address, o.Endpoints[0].Ready)
		case *clustermesh.Node:
			got[short(kv.Key)] = o.Zone
		case *clustermesh.Service:
			got[short(kv.Key)] = "service"
		case *clustermesh.ServiceExport:
			got[short(kv.Key)] = fmt.Sprint(o.Labels["v"], o.Service.Global)
		}
		return nil
	})
	w.must(err)
	for k, id := range got {
		if strings.HasPrefix(k, "export/endpoints/") {
			got[k] = labels[id]
		}
	}
	if want := w.model(); !maps.Equal(got, want) {
		w.Fatalf("step %d:\n got %s\nwant %s", step, text(got), text(want))
	}
}

func text(m map[string]string) string {
	var out []string
	for k, v := range m {
		out = append(out, k+": "+v)
	}
	slices.Sort(out)
	return strings.Join(out, "\n     ")
}

// model says what the store should have, from all objects at once.
func (w *world) model() map[string]string {
	out := map[string]string{}
	home := func(n clustermesh.ServiceName) string {
		if s, ok := w.objects[serviceUnit(n)].(*clustermesh.Service); ok && s.Global && s.Shared {
			return "export"
		}
		return "private"
	}
	of := func(n clustermesh.ServiceName) string {
		if w.objects[serviceUnit(n)] != nil && w.objects[exportUnit(n)] != nil {
			return "export"
		}
		return home(n)
	}
	namespace, _ := w.objects[source.Key{Kind: source.Namespace, Name: "shop"}].(*source.Labels)
	for _, o := range w.objects {
		switch o := o.(type) {
		case *clustermesh.Service:
			out[home(o.Name)+"/services/"+o.Name.String()] = "service"
		case *clustermesh.EndpointSlice:
			out[of(o.Service)+"/slices/"+o.Service.String()+"/"+o.Name] = fmt.Sprint(o.Endpoints[0].Address, o.Endpoints[0].Ready)
		case *source.Export:
			if s, ok := w.objects[serviceUnit(o.Service)].(*clustermesh.Service); ok {
				out["export/exports/"+o.Service.String()] = fmt.Sprint(o.Labels["v"], s.Global)
			}
		case *clustermesh.Node:
			out["export/nodes/"+o.Name] = o.Zone
		case *source.Workload:
			l := maps.Clone(o.Labels)
			l[identity.ClusterLabel], l[identity.NamespaceLabel] = "east", "shop"
			if namespace != nil {
				l[clustermesh.NamespaceLabel+"team"] = namespace.Labels["team"]
			}
			out["export/endpoints/"+o.Addresses[0].String()] = fmt.Sprint(l)
		}
	}
	return out
}
