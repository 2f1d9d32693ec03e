package apiserver

import (
	"context"
	"errors"
	"fmt"
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

// poolYAML is an AddressPool; more follows in its spec.
func poolYAML(name, addresses, more string) string {
	return fmt.Sprintf("---\napiVersion: tombolo.io/v1alpha1\nkind: AddressPool\nmetadata: {name: %s}\nspec: {addresses: [%s]%s}\n", name, addresses, more)
}

// balancerYAML is a Service of type LoadBalancer.
func balancerYAML(name, annotations, status string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: shop, annotations: {%s}}\n"+
		"spec: {type: LoadBalancer, clusterIP: 10.96.0.10, ports: [{port: 80}]}\nstatus: {loadBalancer: {ingress: [%s]}}\n", name, annotations, status)
}

// named asks for an address.
func named(ip string) string { return `tombolo.io/load-balancer-ips: "` + ip + `"` }

// byHand is the configuration of an API server that reads manifests.
func byHand(c *Config) { c.Addresses = AddressConfig{Classless: true, ByHand: true, Named: true} }

// inKubernetes is that of one that reads a Kubernetes.
func inKubernetes(c *Config) { c.Addresses = AddressConfig{Classless: true} }

// othersWrite is a source whose services have their addresses from another implementation.
type othersWrite struct{ source.Source }

func (o othersWrite) Run(ctx context.Context, out chan<- source.Update) error {
	in, done := make(chan source.Update), make(chan error, 1)
	go func() { done <- o.Source.Run(ctx, in) }()
	for {
		select {
		case err := <-done:
			return err
		case u := <-in:
			for _, c := range u.Changes {
				for _, noun := range c.Objects {
					if s, ok := noun.(*clustermesh.Service); ok {
						s.LoadBalancerOthers = len(s.LoadBalancerIPs) > 0
					}
				}
			}
			select {
			case out <- u:
			case <-ctx.Done():
			}
		}
	}
}

// balanced returns the load-balancer addresses that are stored, by service.
func (r *rig) balanced() map[string]string {
	out := map[string]string{}
	for key := range r.have {
		if strings.HasPrefix(key, "private/services/") || strings.HasPrefix(key, "export/services/") {
			s := r.service(key)
			var ips []string
			for _, ip := range s.LoadBalancerIPs {
				ips = append(ips, ip.String())
			}
			out[s.Name.Name] = strings.Join(ips, " ")
		}
	}
	return out
}

// gets waits until services have addresses: "web=192.0.2.1 api=" for none.
func (r *rig) gets(what string, pairs ...string) {
	r.Helper()
	r.until(what, func() bool {
		have := r.balanced()
		for _, p := range pairs {
			name, want, _ := strings.Cut(p, "=")
			if got, ok := have[name]; !ok || got != want {
				return false
			}
		}
		return true
	})
}

// address returns what is stored of an address.
func (r *rig) address(key string) *clustermesh.Address {
	r.Helper()
	o, err := clustermesh.DecodeAt(clustermesh.Root+key, r.have[key])
	if err != nil {
		r.Fatal(err)
	}
	return o.(*clustermesh.Address)
}

func TestAddresses(t *testing.T) {
	r := newRig(t)
	r.write("pool.yaml", poolYAML("public", "198.51.100.1-198.51.100.2", ""))
	r.write("web.yaml", balancerYAML("web", "", ""))
	r.write("hand.yaml", balancerYAML("hand", "", "{ip: 203.0.113.9}, {ip: 198.51.100.2}"))
	s := r.serve("n1", byHand)
	r.gets("a pool gives, and what is given by hand stays", "web=198.51.100.1", "hand=203.0.113.9 198.51.100.2")
	r.well(s)
	r.until("the pool and the address are stored", func() bool { return r.have["private/addresses/198.51.100.1"] != nil })
	a := r.address("private/addresses/198.51.100.1")
	if a.Pool != "public" || len(a.Claims) != 1 || a.Claims[0].Service.String() != "shop/web" || !a.Claims[0].Holds {
		t.Errorf("got %+v", a)
	}
	r.write("api.yaml", balancerYAML("api", "", ""))
	r.degraded(s, "service shop/api lacks an address: pool public has no IPv4 address left")
	if got := s.Status().Pools; len(got) != 1 || got[0].IPv4 != 2 || got[0].Used != 2 {
		t.Errorf("the pools stand at %+v", got)
	}
	r.remove("web.yaml")
	r.gets("without a rest the next has it at once", "api=198.51.100.1")
	r.write("pool.yaml", poolYAML("public", "198.51.100.64/30", ""))
	r.until("a pool that shrinks takes nothing away, and that is said", func() bool {
		tr := s.Status().Troubled
		return len(tr) == 1 && tr[0].Problems[0].Message == "198.51.100.1 is kept: pool public no longer has it"
	})
	r.gets("it keeps what it has", "api=198.51.100.1")
	r.write("other.yaml", poolYAML("zebra", "198.51.100.64/31", ""))
	r.degraded(s, "pool zebra: it overlaps with pool public")
	r.remove("pool.yaml")
	r.remove("other.yaml")
	r.write("api.yaml", strings.Replace(balancerYAML("api", "", ""), "LoadBalancer", "ClusterIP", 1))
	r.until("all is given back", func() bool { return r.have["private/addresses/198.51.100.1"] == nil })
	r.well(s)
}

// Addresses that another controller gives are those of its services at every moment,
// whether there are pools or not; and what one gives away is not kept.
func TestAddressesOfOthers(t *testing.T) {
	r := newRig(t)
	asks := `metallb.io/loadBalancerIPs: "203.0.113.7"`
	r.write("web.yaml", balancerYAML("web", asks, ""))
	r.wrap = func(s source.Source) source.Source { return othersWrite{s} }
	s := r.serve("n1", inKubernetes)
	r.gets("nobody has answered", "web=")
	r.well(s)
	r.write("web.yaml", balancerYAML("web", asks, "{ip: 203.0.113.7}, {ip: 203.0.113.8}"))
	r.gets("it was given two", "web=203.0.113.7 203.0.113.8")
	r.write("pool.yaml", poolYAML("public", "198.51.100.0/24", ", autoAssign: false"))
	r.until("the pool is stored", func() bool { return r.have["private/pools/public"] != nil })
	r.write("web.yaml", balancerYAML("web", "", "{ip: 203.0.113.8}"))
	r.write("api.yaml", balancerYAML("api", "", "{ip: 203.0.113.7}"))
	r.gets("one went to another service", "web=203.0.113.8", "api=203.0.113.7")
	r.write("api.yaml", balancerYAML("api", named("198.51.100.5"), ""))
	r.gets("a pool gives what is asked of it", "api=198.51.100.5")
	r.remove("pool.yaml")
	r.until("the pool is gone", func() bool { return r.have["private/pools/public"] == nil })
	r.gets("what a pool gave is kept", "web=203.0.113.8", "api=198.51.100.5")
}

// A pool that is not known is not gone: nobody loses what it gave, and names of
// addresses do not count as if there were none.
func TestPoolThatIsNotKnown(t *testing.T) {
	r := newRig(t)
	r.write("pool.yaml", poolYAML("public", "198.51.100.1-198.51.100.9", ""))
	r.write("web.yaml", balancerYAML("web", named("198.51.100.5"), ""))
	first := r.serve("n1", byHand)
	r.gets("given", "web=198.51.100.5")
	first.stop()
	r.write("pool.yaml", poolYAML("public", "nonsense", ""))
	r.write("api.yaml", balancerYAML("api", named("198.51.100.5"), ""))
	second := r.serve("n2", byHand)
	r.gets("the holder keeps it", "web=198.51.100.5", "api=")
	r.degraded(second, "nonsense")
	if r.have["private/pools/public"] == nil {
		t.Error("a pool that does not read was taken out of the store")
	}
	r.write("pool.yaml", poolYAML("public", "198.51.100.1-198.51.100.9", ""))
	r.remove("web.yaml")
	r.gets("mended", "api=198.51.100.5")
}

// Services of another class have their addresses from somebody else, and those of
// none only where that is wanted.
func TestClasses(t *testing.T) {
	class := func(s, c string) string { return strings.Replace(s, "spec: {", "spec: {loadBalancerClass: "+c+", ", 1) }
	r := newRig(t)
	r.write("pool.yaml", poolYAML("public", "198.51.100.0/24", ""))
	r.write("a.yaml", class(balancerYAML("ours", "", ""), clustermesh.LoadBalancerClass))
	r.write("b.yaml", class(balancerYAML("theirs", "", "{ip: 203.0.113.9}"), "example.com/lb"))
	r.write("c.yaml", balancerYAML("none", "", "{ip: 203.0.113.10}"))
	s := r.serve("n1", func(c *Config) { c.Addresses.ByHand = true })
	r.gets("ours has one from us", "ours=198.51.100.0", "theirs=203.0.113.9", "none=203.0.113.10")
	r.well(s)
}

// What rests stays stored over a change of the lead, and is given out in time.
func TestAddressesRest(t *testing.T) {
	rest := func(d time.Duration) func(*Config) {
		return func(c *Config) { byHand(c); c.Addresses.Rest = d }
	}
	r := newRig(t)
	r.write("pool.yaml", poolYAML("public", "198.51.100.1/32", ""))
	r.write("web.yaml", balancerYAML("web", "", ""))
	first := r.serve("n1", rest(time.Hour))
	r.gets("given", "web=198.51.100.1")
	r.remove("web.yaml")
	r.until("it rests", func() bool { return r.have["private/services/shop/web"] == nil })
	r.write("api.yaml", balancerYAML("api", "", ""))
	r.gets("nobody else has it", "api=")
	first.stop()
	second := r.serve("n2", rest(time.Hour))
	r.degraded(second, "service shop/api lacks an address")
	if a := r.address("private/addresses/198.51.100.1"); a.Last.String() != "shop/web" || a.Released.IsZero() {
		t.Errorf("got %+v", a)
	}
	second.stop()
	r.serve("n3", rest(2*time.Second))
	r.gets("it has rested", "api=198.51.100.1")
}

// The store is lost, with the process that gave the addresses out: the file that
// it kept says who has which.
func TestAddressesOutliveTheStore(t *testing.T) {
	r := newRig(t)
	file := t.TempDir() + "/addresses.json"
	keeps := func(c *Config) { byHand(c); c.Addresses.File = file }
	r.write("pool.yaml", poolYAML("public", "198.51.100.0/24", ""))
	r.write("a.yaml", balancerYAML("a", "", ""))
	first := r.serve("n1", keeps)
	r.gets("a has the first", "a=198.51.100.0")
	r.write("b.yaml", balancerYAML("b", "", ""))
	r.gets("b the second", "b=198.51.100.1")
	r.remove("a.yaml")
	r.until("a is gone, and the file knows", func() bool {
		m, err := loadKept(file)
		return r.have["private/services/shop/a"] == nil && err == nil && len(m.addresses) == 1 && m.addresses[clustermesh.Root+"private/addresses/198.51.100.1"] != nil
	})
	first.stop()
	before := string(r.have["epoch"])
	r.lose()
	second := r.serve("n1", keeps)
	r.until("there is a new store", func() bool { return string(r.have["epoch"]) != before })
	r.gets("b has what it had", "b=198.51.100.1")
	r.well(second)
}

// statuses is a source whose objects have the statuses that we wrote, as those of
// a kube-apiserver. What we write goes to told, if somebody listens.
type statuses struct {
	objects []source.Object
	told    chan source.Statuses
	stopped chan struct{}
}

func (s *statuses) SetStatuses(all source.Statuses) {
	if s.told != nil {
		s.told <- all
	}
}

func (s *statuses) StopStatuses() {
	if s.stopped != nil {
		close(s.stopped)
	}
}

func (s *statuses) Status() source.Status { return source.Status{From: "a test", Synced: true} }

func (s *statuses) Run(ctx context.Context, out chan<- source.Update) error {
	u := source.Update{Synced: source.Kinds[:], Full: true}
	for _, o := range s.objects {
		k := source.Key{Kind: source.AddressPool}
		switch o := o.(type) {
		case *clustermesh.Service:
			k = serviceUnit(o.Name)
		case *clustermesh.Pool:
			k.Name = o.Name
		}
		u.Changes = append(u.Changes, source.Change{Key: k, Objects: []source.Object{o}})
	}
	select {
	case out <- u:
	case <-ctx.Done():
	}
	<-ctx.Done()
	return nil
}

func balancer(name string, has ...string) *clustermesh.Service {
	s := &clustermesh.Service{Name: clustermesh.ServiceName{Namespace: "shop", Name: name}, Type: clustermesh.LoadBalancer}
	for _, ip := range has {
		s.LoadBalancerIPs = append(s.LoadBalancerIPs, netip.MustParseAddr(ip))
	}
	return s
}

func testPool(prefix string) *clustermesh.Pool {
	return &clustermesh.Pool{Name: "public", AutoAssign: true, Ranges: []clustermesh.AddrRange{clustermesh.Range(netip.MustParsePrefix(prefix))}}
}

// On a store that knows nothing the statuses count before anything is given out;
// on one that knows, it counts.
func TestStatusesAreReadBack(t *testing.T) {
	r := newRig(t)
	serve := func(objects ...source.Object) *server {
		c := r.config
		c.Node, c.Addresses = "n1", AddressConfig{Classless: true}
		a := New(c, &statuses{objects: objects}, etcdtest.Log())
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		stop := func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			done <- nil
		}
		t.Cleanup(stop)
		return &server{a, stop}
	}
	first := serve(testPool("198.51.100.0/24"), balancer("a"), balancer("z", "198.51.100.0"), balancer("y", "192.0.2.7"))
	r.gets("statuses first", "z=198.51.100.0", "y=192.0.2.7", "a=198.51.100.1")
	first.stop()
	serve(testPool("198.51.100.0/24"), balancer("a", "198.51.100.0"), balancer("z", "198.51.100.1"), balancer("b", "198.51.100.0"))
	r.gets("the store knows better", "z=198.51.100.0", "a=198.51.100.1", "b=198.51.100.2")
}

// What is stored is told to a source that can write it on its objects, and nothing
// more once the lead is lost.
func TestStatusesAreTold(t *testing.T) {
	r := newRig(t)
	s := &statuses{told: make(chan source.Statuses, 100), stopped: make(chan struct{})}
	other := testPool("198.51.100.0/31")
	other.Name = "zebra"
	s.objects = []source.Object{testPool("198.51.100.0/32"), other, balancer("a"), balancer("b")}
	c := r.config
	c.Node, c.Addresses = "n1", AddressConfig{Classless: true}
	l := newLoop(New(c, s, etcdtest.Log()), r.store.Dial(), identity.Config{Cluster: "east", ID: 1, Grace: time.Hour})
	lead, err := election.Campaign(t.Context(), l.client, etcdtest.Log(), election.Config{Prefix: electionPrefix, Ledger: ledgerPrefix, Name: "n1", TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer lead.Resign()
	updates := make(chan source.Update, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, updates) }()
	l.catalog.apply(<-updates)
	cancel()
	<-done
	l.turn = &turn{fence: lead.Fence, lost: lead.Lost(), giveUp: func() {}}
	if err := l.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l.keep(time.Now()); len(s.told) > 0 {
		t.Error("statuses are told of what is not stored")
	}
	if err := l.term.writer.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.keep(time.Now())
	all := <-s.told
	a, b := all.Services[balancer("a").Name], all.Services[balancer("b").Name]
	if !all.Whole || len(all.Services) != 2 || !slices.Equal(a.Addresses, []netip.Addr{netip.MustParseAddr("198.51.100.0")}) || len(b.Addresses) > 0 {
		t.Errorf("got %+v", all)
	}
	if c := b.Conditions[0]; c.Type != conditionAddresses || c.Status != "False" || c.Reason != "PoolFull" {
		t.Errorf("b's condition is %+v", c)
	}
	if a.Lacking || !b.Lacking {
		t.Errorf("a lacks something: %v, b: %v", a.Lacking, b.Lacking)
	}
	said := func(change source.Object) source.Statuses {
		t.Helper()
		name := change.(*clustermesh.Service).Name
		touched := l.catalog.apply(source.Update{Changes: []source.Change{{Key: serviceUnit(name), Objects: []source.Object{change}}}})
		if err := errors.Join(l.term.take(touched, false, time.Now()), l.term.writer.Flush(t.Context())); err != nil {
			t.Fatal(err)
		}
		l.keep(time.Now())
		return <-s.told
	}
	gone := balancer("a")
	gone.Type = clustermesh.ClusterIP
	all = said(gone)
	if a, ok := all.Services[gone.Name]; all.Whole || !ok || len(a.Addresses)+len(a.Conditions) > 0 {
		t.Errorf("a service that left: %+v", all)
	}
	if b := all.Services[balancer("b").Name]; !slices.Equal(b.Addresses, []netip.Addr{netip.MustParseAddr("198.51.100.0")}) {
		t.Errorf("what it gave back is the next one's: %+v", b)
	}
	theirs := balancer("b", "203.0.113.9")
	theirs.LoadBalancerOthers = true
	if b, ok := said(theirs).Services[theirs.Name]; !ok || len(b.Addresses)+len(b.Conditions) > 0 {
		t.Errorf("one that another implementation has: %+v", b)
	}
	l.end()
	<-s.stopped
}

// A leader that was deposed while it had given an address out, and not stored
// that, writes nothing more: the next one gives the address to another service.
func TestDeposedLeaderGivesNothingOut(t *testing.T) {
	s := etcdtest.New(t)
	client := s.Dial()
	term := func(name string, objects ...*clustermesh.Service) (*term, *election.Leader) {
		lead, err := election.Campaign(t.Context(), client, etcdtest.Log(), election.Config{Prefix: electionPrefix, Ledger: ledgerPrefix, Name: name, TTL: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		cat := newCatalog()
		u := source.Update{Synced: source.Kinds[:], Changes: []source.Change{{Key: source.Key{Kind: source.AddressPool, Name: "public"}, Objects: []source.Object{testPool("198.51.100.0/31")}}}}
		for _, o := range objects {
			u.Changes = append(u.Changes, source.Change{Key: serviceUnit(o.Name), Objects: []source.Object{o}})
		}
		cat.apply(u)
		cfg := &Config{Cluster: clustermesh.Cluster{Name: "east", ID: 1}, Addresses: AddressConfig{Classless: true}}
		out := newTerm(cat, cfg, identity.Config{Cluster: "east", ID: 1, Grace: time.Hour})
		out.epoch, out.relearning = "epoch", nil
		if err := errors.Join(out.learn(t.Context(), client, lead.Fence, time.Now()), out.pass(time.Now())); err != nil {
			t.Fatal(err)
		}
		return out, lead
	}
	old, lead := term("n1", balancer("web"))
	lead.Resign()
	next, lead := term("n2", balancer("api"))
	defer lead.Resign()
	if err := next.writer.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := old.writer.Flush(t.Context()); !errors.Is(err, etcd.ErrDeposed) {
		t.Errorf("the deposed leader could write: %v", err)
	}
	kv, ok, err := client.Get(t.Context(), clustermesh.Root+"private/addresses/198.51.100.0")
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	o, err := clustermesh.DecodeAt(kv.Key, kv.Value)
	if err != nil || o.(*clustermesh.Address).Claims[0].Service.Name != "api" {
		t.Errorf("got %+v, %v", o, err)
	}
}

// Leaders take turns while services come and go. Nothing that the store ever held
// has an address twice, and no service ever has another one than at first.
func TestLeadersInTurn(t *testing.T) {
	r := newRig(t)
	r.write("pool.yaml", poolYAML("public", "198.51.100.0/24", ""))
	leader := r.serve("n0", byHand)
	first := map[string]string{}
	sound := func() {
		holder := map[string]string{}
		for name, ips := range r.balanced() {
			if ips == "" {
				continue
			}
			if other, ok := holder[ips]; ok {
				t.Fatalf("%s and %s have %s both", name, other, ips)
			}
			holder[ips] = name
			if was, ok := first[name]; ok && was != ips {
				t.Fatalf("%s had %s, and has %s now", name, was, ips)
			}
			first[name] = ips
		}
	}
	for turn := range 6 {
		next := r.serve(fmt.Sprint("n", turn+1), byHand)
		for i := range 10 {
			r.write(fmt.Sprintf("s%d-%d.yaml", turn, i), balancerYAML(fmt.Sprintf("s%d-%d", turn, i), "", ""))
			if i == 3 {
				r.until("one is stored", func() bool { sound(); return r.balanced()[fmt.Sprintf("s%d-0", turn)] != "" })
				leader.stop() // with changes on the way
			}
			if turn > 0 && i > 5 {
				r.remove(fmt.Sprintf("s%d-%d.yaml", turn-1, i))
				delete(first, fmt.Sprintf("s%d-%d", turn-1, i))
			}
		}
		r.until("all of the turn have addresses", func() bool {
			sound()
			have := r.balanced()
			for i := range 10 {
				if have[fmt.Sprintf("s%d-%d", turn, i)] == "" {
					return false
				}
			}
			return true
		})
		leader = next
	}
	r.well(leader)
	sound()
}

// Deletions that a full pass found and that wait give no address away.
func TestAddressesWaitForTheSweep(t *testing.T) {
	s := etcdtest.New(t)
	client := s.Dial()
	lead, err := election.Campaign(t.Context(), client, etcdtest.Log(), election.Config{Prefix: electionPrefix, Ledger: ledgerPrefix, Name: "n1", TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer lead.Resign()
	cat := newCatalog()
	cat.apply(source.Update{Synced: source.Kinds[:]})
	cfg := &Config{Cluster: clustermesh.Cluster{Name: "east", ID: 1}, Addresses: AddressConfig{Classless: true}, Shrink: source.Shrink{Hold: time.Minute}}
	now := time.Now()
	tm := newTerm(cat, cfg, identity.Config{Cluster: "east", ID: 1, Grace: time.Hour})
	tm.epoch, tm.relearning = "epoch", nil
	take := func(at time.Time, u source.Update) {
		t.Helper()
		if err := errors.Join(tm.take(cat.apply(u), u.Full, at), tm.writer.Flush(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tm.learn(t.Context(), client, lead.Fence, now), tm.pass(now)); err != nil {
		t.Fatal(err)
	}
	u := source.Update{Changes: []source.Change{{Key: source.Key{Kind: source.AddressPool, Name: "public"}, Objects: []source.Object{testPool("198.51.100.0/27")}}}}
	gone := source.Update{Full: true}
	for i := range 32 {
		b := balancer(fmt.Sprintf("s%02d", i))
		u.Changes = append(u.Changes, source.Change{Key: serviceUnit(b.Name), Objects: []source.Object{b}})
		if i > 0 {
			gone.Changes = append(gone.Changes, source.Change{Key: serviceUnit(b.Name)})
		}
	}
	take(now, u)
	take(now, gone)
	b := balancer("new")
	take(now, source.Update{Changes: []source.Change{{Key: serviceUnit(b.Name), Objects: []source.Object{b}}}})
	if o, _ := tm.addresses.alloc.Outcome(b.Name); len(o.Grants) > 0 {
		t.Errorf("it has %v of a service that waits to be swept", o.Grants)
	}
	if err := tm.tidy(now.Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	if o, _ := tm.addresses.alloc.Outcome(b.Name); len(o.Grants) != 1 {
		t.Errorf("after the sweep it has %v: %v", o.Grants, o.Problems)
	}
}

// Two clusters have the same pool of the mesh: the same service has the same
// address in both; of two that name the same one the older claim keeps it, and
// both are told.
func TestAddressesOfTheMesh(t *testing.T) {
	east, west := newMember(t, "east", 1), newMember(t, "west", 2)
	for _, m := range []*member{east, west} {
		m.server.stop()
		m.server = m.serve("n2", byHand)
		m.write("pool.yaml", poolYAML("everywhere", "198.51.100.0/24", ", scope: mesh"))
	}
	east.write("peer.yaml", west.peerOf())
	west.write("peer.yaml", east.peerOf())
	east.write("web.yaml", balancerYAML("web", named("198.51.100.7"), ""))
	west.write("web.yaml", balancerYAML("web", named("198.51.100.7"), ""))
	east.gets("the same address in east", "web=198.51.100.7")
	west.gets("and in west", "web=198.51.100.7")
	west.until("east's claim is known in west", func() bool { return west.have["mirror/east/addresses/198.51.100.7"] != nil })
	west.write("api.yaml", balancerYAML("api", named("198.51.100.7"), ""))
	west.until("the younger claim is refused", func() bool {
		tr := west.server.Status().Troubled
		return slices.ContainsFunc(tr, func(s ServiceAddresses) bool { return s.Service == "shop/api" && s.Problems[0].Reason == "Conflict" })
	})
	east.until("and shown where the address is held", func() bool {
		tr := east.server.Status().Troubled
		return len(tr) == 1 && tr[0].Service == "shop/web" && strings.Contains(tr[0].Problems[0].Message, "claimed by shop/api of cluster west too")
	})
	east.gets("east's keeps it", "web=198.51.100.7")
	west.remove("web.yaml")
	west.until("east's claim alone holds it against api", func() bool {
		have := west.balanced()
		_, web := have["web"]
		return !web && have["api"] == ""
	})
	east.remove("web.yaml")
	west.gets("when nobody else claims it, api has it", "api=198.51.100.7")
}

// A cluster that has not heard of another one yet gives nothing out that the other
// may claim.
func TestMeshAddressWaitsForOthers(t *testing.T) {
	east, west := newMember(t, "east", 1), newMember(t, "west", 2)
	for _, m := range []*member{east, west} {
		m.server.stop()
		m.write("pool.yaml", poolYAML("everywhere", "198.51.100.0/24", ", scope: mesh"))
	}
	west.write("api.yaml", balancerYAML("api", named("198.51.100.7"), ""))
	west.server = west.serve("n2", byHand)
	west.gets("west's api has it", "api=198.51.100.7")
	west.server.stop()
	east.write("peer.yaml", west.peerOf())
	east.write("web.yaml", balancerYAML("web", named("198.51.100.7"), ""))
	east.server = east.serve("n2", byHand)
	east.until("the mirror is tried", func() bool { return east.have["mirror/west/state"] != nil })
	east.degraded(east.server, "what other clusters claim of it is not known yet")
	west.server = west.serve("n2", byHand)
	east.until("web learns that it is taken", func() bool {
		if has := east.balanced()["web"]; has != "" {
			t.Fatalf("web was given %s", has)
		}
		tr := east.server.Status().Troubled
		return len(tr) == 1 && tr[0].Problems[0].Reason == "Conflict"
	})
}

// Who is refused is not waited for, and nobody for ever.
func TestOthersKnown(t *testing.T) {
	now := time.Unix(1000, 0)
	event := func(op etcd.Op, key string, o clustermesh.Object) etcd.Event[clustermesh.Object] {
		return etcd.Event[clustermesh.Object]{Op: op, Key: clustermesh.Root + key, Value: o}
	}
	for _, c := range []struct {
		name  string
		heard []etcd.Event[clustermesh.Object]
		after time.Duration
		want  bool
	}{
		{"nothing was heard", nil, othersWait - 1, false},
		{"it is out of reach for long", nil, othersWait, true},
		{"it claims", []etcd.Event[clustermesh.Object]{event(etcd.Synced, "mirror/west/synced/addresses", nil)}, 0, true},
		{"another table is complete", []etcd.Event[clustermesh.Object]{event(etcd.Synced, "mirror/west/synced/services", nil)}, 0, false},
		{"the marker is of an older store", []etcd.Event[clustermesh.Object]{
			event(etcd.Synced, "mirror/west/synced/addresses", nil), event(etcd.Unsynced, "mirror/west/synced/addresses", nil),
		}, 0, false},
		{"it is refused", []etcd.Event[clustermesh.Object]{event(etcd.Put, "mirror/west/state", &clustermesh.MirrorState{Phase: clustermesh.MirrorRefused})}, 0, true},
		{"it connects", []etcd.Event[clustermesh.Object]{event(etcd.Put, "mirror/west/state", &clustermesh.MirrorState{Phase: clustermesh.MirrorConnecting})}, 0, false},
	} {
		tm := newTerm(newCatalog(), &Config{}, identity.Config{Cluster: "east", ID: 1})
		if tm.peers["west"] = (&clustermesh.Peer{Name: "west"}); tm.othersKnown(now) {
			t.Errorf("%s: known before the store was read", c.name)
		}
		tm.remote = true
		tm.othersKnown(now)
		for _, e := range c.heard {
			tm.catalog.others.hear(e)
		}
		if got := tm.othersKnown(now.Add(c.after)); got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
}
