package apiserver

import (
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/identity"
	"tombolo.io/tombolo/clustermesh/source"
)

func TestTableSize(t *testing.T) {
	for _, c := range []struct {
		current  uint32
		backends int
		may      bool
		want     uint32
	}{
		{0, 0, true, 251}, {0, 2, true, 251}, {0, 3, false, 509}, {0, 10, true, 1021}, {0, 11, true, 2039},
		{251, 3, false, 509},   // grows at once
		{509, 3, true, 509},    // and stays while it does
		{509, 2, true, 509},    // two fit 251, but so would eight not
		{1021, 3, true, 1021},  // twelve would not fit less
		{2039, 2, true, 509},   // eight would fit less: room for four
		{2039, 2, false, 2039}, // not before everything is known
		{2039, 0, true, 251},
		{131071, 1310, true, 131071}, {0, 1311, true, 131071}, {131071, 100000, true, 131071},
	} {
		if got := tableSize(c.current, c.backends, c.may); got != c.want {
			t.Errorf("tableSize(%d, %d, %v) = %d, want %d", c.current, c.backends, c.may, got, c.want)
		}
	}
}

// Whatever the backends do, the size is enough, and it changes only when they
// have doubled or halved since it last did.
func TestTableSizeDoesNotSway(t *testing.T) {
	for base := 1; base <= 1310; base += 7 {
		size := tableSize(0, base, true)
		for _, n := range []int{base - 1, base, base - base/4, base} {
			if got := tableSize(size, n, true); got != size {
				t.Errorf("%d backends, then %d: the size goes from %d to %d", base, n, size, got)
			}
		}
		if uint64(size) < uint64(min(base, 1310))*slotsPerBackend {
			t.Errorf("%d backends have %d slots", base, size)
		}
	}
}

// notated reads an object: "service web", "service web global", "service web
// global local-only", "external web", "offer web", "slice web web-1 3", "node n1", "pod p 10.0.0.1",
// "namespace shop", "peer west", "router tor", "advert all"; with a leading
// "-" it is gone.
func notated(text string) source.Change {
	gone := strings.HasPrefix(text, "-")
	f := strings.Fields(strings.TrimPrefix(text, "-"))
	k := source.Key{Namespace: "shop", Name: f[1]}
	var o source.Object
	switch f[0] {
	case "service":
		k.Kind = source.Service
		global := slices.Contains(f, "global")
		o = &clustermesh.Service{Name: clustermesh.ServiceName{Namespace: "shop", Name: f[1]}, Global: global, Shared: global && !slices.Contains(f, "local-only")}
	case "external":
		k.Kind = source.Service
		o = &clustermesh.Service{Name: clustermesh.ServiceName{Namespace: "shop", Name: f[1]}, Type: clustermesh.ExternalName}
	case "offer":
		k.Kind = source.ServiceExport
		o = &source.Export{Service: clustermesh.ServiceName{Namespace: "shop", Name: f[1]}}
	case "slice":
		k.Kind, k.Name = source.EndpointSlice, f[2]
		s := &clustermesh.EndpointSlice{Service: clustermesh.ServiceName{Namespace: "shop", Name: f[1]}, Name: f[2]}
		for i := range len(strings.Join(f[3:], "")) {
			s.Endpoints = append(s.Endpoints, clustermesh.Endpoint{Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), Ready: true, Serving: true})
		}
		o = s
	case "node":
		k.Kind, k.Namespace = source.Node, ""
		o = &clustermesh.Node{Name: f[1]}
	case "namespace":
		k.Kind, k.Namespace = source.Namespace, ""
		o = &source.Labels{Namespace: f[1]}
	case "pod":
		k.Kind = source.Pod
		w := &source.Workload{Namespace: "shop", Name: f[1]}
		for _, a := range f[2:] {
			w.Addresses = append(w.Addresses, netip.MustParseAddr(a))
		}
		o = w
	case "peer":
		k.Kind, k.Namespace = source.ClusterPeer, ""
		o = &clustermesh.Peer{Name: f[1]}
	case "router":
		k.Kind, k.Namespace = source.BGPPeer, ""
		o = &clustermesh.BGPPeer{Name: f[1]}
	case "advert":
		k.Kind, k.Namespace = source.BGPAdvertisement, ""
		o = &clustermesh.BGPAdvertisement{Name: f[1]}
	default:
		panic(text)
	}
	if gone {
		return source.Change{Key: k}
	}
	return source.Change{Key: k, Objects: []source.Object{o}}
}

func short(key string) string { return strings.TrimPrefix(key, clustermesh.Root) }

// A step is a change and what it makes the leader do: "+key" is wanted by what
// was touched, "-key" is dropped; in order.
func TestPlacement(t *testing.T) {
	type step struct{ change, want string }
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"where each kind lies", []step{
			{"node n1", "+export/nodes/n1"},
			{"namespace shop", ""},
			{"service web", "+private/services/shop/web"},
			{"pod p 10.0.0.1", ""},
			{"peer west", "+private/peers/west"},
			{"router tor", "+private/bgp/peers/tor"},
			{"advert all", "+private/bgp/advertisements/all"},
		}},
		{"a global service is shared, unless it says not", []step{
			{"service web global", "+export/services/shop/web"},
			{"service cart global local-only", "+private/services/shop/cart"},
		}},
		{"slices follow their service, new place first", []step{
			{"slice web web-1 xx", "+private/slices/shop/web/web-1"},
			{"service web", "+private/services/shop/web"},
			{"service web global", "+export/services/shop/web -private/services/shop/web +export/slices/shop/web/web-1 -private/slices/shop/web/web-1"},
			{"slice web web-1 xxx", "+export/services/shop/web +export/slices/shop/web/web-1"},
			{"-service web", "-export/services/shop/web +private/slices/shop/web/web-1 -export/slices/shop/web/web-1"},
			{"-slice web web-1", "-private/slices/shop/web/web-1"},
		}},
		{"an offer says what its service is, and has the slices where others see them", []step{
			{"offer web", ""},
			{"slice web web-1 x", "+private/slices/shop/web/web-1"},
			{"service web", "+private/services/shop/web +export/exports/shop/web +export/slices/shop/web/web-1 -private/slices/shop/web/web-1"},
			{"service web global", "+export/services/shop/web -private/services/shop/web +export/exports/shop/web +export/slices/shop/web/web-1"},
			{"-offer web", "-export/exports/shop/web +export/slices/shop/web/web-1"},
			{"service web", "+private/services/shop/web -export/services/shop/web +private/slices/shop/web/web-1 -export/slices/shop/web/web-1"},
			{"offer web", "+export/exports/shop/web +export/slices/shop/web/web-1 -private/slices/shop/web/web-1"},
			{"external web", "+private/services/shop/web -export/exports/shop/web +private/slices/shop/web/web-1 -export/slices/shop/web/web-1"},
			{"service web", "+private/services/shop/web +export/exports/shop/web +export/slices/shop/web/web-1 -private/slices/shop/web/web-1"},
			{"-service web", "-private/services/shop/web -export/exports/shop/web +private/slices/shop/web/web-1 -export/slices/shop/web/web-1"},
		}},
		{"a slice that changes its service", []step{
			{"slice web s-1 x", "+private/slices/shop/web/s-1"},
			{"slice cart s-1 x", "+private/slices/shop/cart/s-1 -private/slices/shop/web/s-1"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cat, p := newCatalog(), newPlacements(census{})
			for _, st := range c.steps {
				var got []string
				for _, unit := range cat.apply(source.Update{Changes: []source.Change{notated(st.change)}}) {
					var keys []string
					for _, o := range cat.place(unit, func(*clustermesh.Service) uint32 { return 251 }, func(*clustermesh.Service) {}) {
						keys = append(keys, o.key.String())
						got = append(got, "+"+short(o.key.String()))
					}
					dropped, heirs := p.set(unit, keys)
					for _, k := range dropped {
						got = append(got, "-"+short(k))
					}
					if len(heirs) > 0 {
						t.Errorf("%s: heirs %v", st.change, heirs)
					}
				}
				if s := strings.Join(got, " "); s != st.want {
					t.Errorf("%s:\n got %s\nwant %s", st.change, s, st.want)
				}
			}
		})
	}
}

func TestPlacementsOfOneKeyByTwo(t *testing.T) {
	a, b := source.Key{Kind: source.EndpointSlice, Name: "a"}, source.Key{Kind: source.EndpointSlice, Name: "b"}
	p := newPlacements(census{})
	p.set(a, []string{"x", "y"})
	p.set(b, []string{"x"})
	if p.holds(a, "x") || !p.holds(b, "x") || !p.holds(a, "y") {
		t.Error("the last to want a key does not have it")
	}
	if dropped, heirs := p.set(b, nil); len(dropped) > 0 || !slices.Equal(heirs, []source.Key{a}) || !p.holds(a, "x") {
		t.Errorf("it lets go: dropped %v, heirs %v", dropped, heirs)
	}
	p.set(b, []string{"x"})
	if dropped, heirs := p.set(a, []string{"y"}); len(dropped)+len(heirs) > 0 {
		t.Errorf("the first lets go: dropped %v, heirs %v", dropped, heirs)
	}
	if dropped, _ := p.set(b, nil); !slices.Equal(dropped, []string{"x"}) || p.wanted("x") {
		t.Errorf("the last lets go: dropped %v", dropped)
	}
}

func TestNeedCountsTheBiggerFamilyOfAllClusters(t *testing.T) {
	c := newCatalog()
	for _, text := range []string{"service web global", "service cart", "slice web web-1 xx", "slice cart cart-1 xxx"} {
		c.apply(source.Update{Changes: []source.Change{notated(text)}})
	}
	six := &clustermesh.EndpointSlice{Service: clustermesh.ServiceName{Namespace: "shop", Name: "web"}, Endpoints: []clustermesh.Endpoint{{Address: netip.MustParseAddr("fd00::1")}}}
	four := notated("slice web web-9 xxxx").Objects[0].(*clustermesh.EndpointSlice)
	c.remote.set("west/1", six)
	c.remote.set("west/2", four)
	web, cart := c.service(six.Service), c.service(clustermesh.ServiceName{Namespace: "shop", Name: "cart"})
	if got := c.need(web); got != 6 {
		t.Errorf("web needs room for %d, want 6: two here, four there; the other family has one", got)
	}
	c.remote.set("x", &clustermesh.EndpointSlice{Service: cart.Name, Endpoints: four.Endpoints})
	if got := c.need(cart); got != 3 {
		t.Errorf("cart, which is not global, needs room for %d, want 3", got)
	}
	c.remote.set("west/2", nil)
	if got := c.need(web); got != 2 {
		t.Errorf("web needs room for %d, want 2", got)
	}
}

// What may belong to an object that is not known stays, and nothing else does.
func TestSweepOfWhatIsNotKnown(t *testing.T) {
	for _, c := range []struct{ unknown, key string }{
		{"Service shop/web", "export/services/shop/web"},
		{"Service shop/web", "private/services/shop/web"},
		{"Service shop/web", "export/slices/shop/web/any"},
		{"Service shop/web", "-export/services/shop/cart"},
		{"Service shop/web", "-export/slices/shop/cart/any"},
		{"Service shop/web", "-export/nodes/web"},
		{"EndpointSlice shop/web-1", "export/slices/shop/any/web-1"},
		{"EndpointSlice shop/web-1", "private/slices/shop/any/web-1.3"},
		{"EndpointSlice shop/web-1", "-private/slices/shop/any/web-2"},
		{"EndpointSlice shop/web-1", "-export/services/shop/web"},
		{"Node n1", "export/nodes/n1"},
		{"Node n1", "-export/nodes/n2"},
		{"Node", "export/nodes/n2"},
		{"Pod shop/web-0", "export/endpoints/10.1.0.1"},
		{"Pod", "export/identities/65537"},
		{"Namespace shop", "export/endpoints/10.1.0.1"},
		{"Pod shop/web-0", "-export/nodes/n1"},
		{"ClusterPeer", "private/peers/west"},
		{"BGPPeer tor", "private/bgp/peers/tor"},
		{"BGPPeer tor", "-private/bgp/peers/spine"},
		{"BGPAdvertisement", "private/bgp/advertisements/all"},
		{"", "private/bgp/advertisements/all"},
		{"Node n1", "-export/what/is/this"},
	} {
		kind, name, _ := strings.Cut(c.unknown, " ")
		unknown := source.Key{Kind: source.Kind(kind), Name: name}
		if namespace, name, ok := strings.Cut(name, "/"); ok {
			unknown.Namespace, unknown.Name = namespace, name
		}
		key, gone := strings.CutPrefix(c.key, "-")
		cat := newCatalog()
		cat.apply(source.Update{Synced: source.Kinds[:], Unknown: []source.Key{unknown}})
		s := newSweep(source.Shrink{})
		s.add(clustermesh.Root + key)
		if got := len(s.pass(cat, census{}, time.Now())); (got == 1) != gone {
			t.Errorf("%q is not known: %s goes: %v", c.unknown, key, got == 1)
		}
	}
}

// One kind that is lost is suspect, however many others there are.
func TestSweepOfOneKind(t *testing.T) {
	cat := newCatalog()
	cat.apply(source.Update{Synced: source.Kinds[:]})
	stay := census{}
	for i := range 1000 {
		stay.add(fmt.Sprintf("%sexport/nodes/n%d", clustermesh.Root, i), 1)
	}
	for _, c := range []struct {
		gone, moved int
		reason      string
	}{
		{20, 0, "more than half of 20 services would go at once; allow it with --allow-shrink"},
		{20, 20, ""}, // half of them, for what moved to the other area is the same kind
		{20, 19, "more than half of 39 services would go at once; allow it with --allow-shrink"},
		{19, 0, ""},
	} {
		s, stay := newSweep(source.Shrink{}), maps.Clone(stay)
		for i := range c.gone {
			s.add(fmt.Sprintf("%sexport/services/shop/s%d", clustermesh.Root, i))
		}
		for i := range c.moved {
			stay.add(fmt.Sprintf("%sprivate/services/shop/s%d", clustermesh.Root, i), 1)
		}
		if got := len(s.pass(cat, stay, time.Now())); s.reason != c.reason || (got == 0) != (c.reason != "") {
			t.Errorf("%d of %d: %d go, because %q", c.gone, c.gone+c.moved, got, s.reason)
		}
	}
}

func TestSweep(t *testing.T) {
	everything := source.Kinds[:]
	for _, c := range []struct {
		name         string
		update       source.Update
		rule         source.Shrink
		gone, others int
		want         int
		reason       string
		at           int
	}{
		{"a few go", source.Update{Synced: everything}, source.Shrink{}, 3, 30, 3, "", 0},
		{"all of few go", source.Update{Synced: everything}, source.Shrink{}, 19, 0, 19, "", 0},
		{"many wait", source.Update{Synced: everything}, source.Shrink{Hold: time.Minute}, 30, 10, 0, "more than half of 40 objects would go at once; that is believed at 1970-01-01T00:02:40Z, or at once with --allow-shrink", 160},
		{"many may go", source.Update{Synced: everything}, source.Shrink{Allow: true}, 30, 10, 30, "", 0},
		{"nothing goes before all is known", source.Update{Synced: everything[1:]}, source.Shrink{Allow: true}, 1, 100, 0, "not delivered everything", 0},
		{"nor while parts cannot be read", source.Update{Synced: everything, Unknown: []source.Key{{}}}, source.Shrink{Allow: true}, 1, 100, 0, "could not read everything", 0},
	} {
		cat := newCatalog()
		cat.apply(c.update)
		s := newSweep(c.rule)
		for i := range c.gone {
			s.add(fmt.Sprint(i))
		}
		got := s.pass(cat, census{"": c.others}, time.Unix(100, 0))
		var at int64
		if !s.at.IsZero() {
			at = s.at.Unix()
		}
		if len(got) != c.want || !strings.Contains(s.reason, c.reason) || (c.reason == "") != (s.reason == "") || int(at) != c.at {
			t.Errorf("%s: %d go, because %q, at %d", c.name, len(got), s.reason, at)
		}
		if len(got)+len(s.keys) != c.gone {
			t.Errorf("%s: %d of %d keys are left", c.name, len(s.keys), c.gone)
		}
	}
}

// What was suspect, and then was not to go at all, waits anew when it is to go again.
func TestSweepHoldsAnew(t *testing.T) {
	unknown := []source.Key{{}}
	for _, c := range []struct {
		name string
		// between is what the source does not know at 130 s; keys come back then.
		between  []source.Key
		comeBack bool
		want     int
		at       int64
	}{
		{"suspect all the time", nil, false, 30, 0},
		{"everything is doubted meanwhile", unknown, false, 0, 230},
		{"everything comes back meanwhile", nil, true, 0, 230},
	} {
		cat, s := newCatalog(), newSweep(source.Shrink{Hold: time.Minute})
		pass := func(at int64, unknown []source.Key) int {
			cat.apply(source.Update{Synced: source.Kinds[:], Unknown: unknown})
			return len(s.pass(cat, census{}, time.Unix(at, 0)))
		}
		fill := func(do func(string)) {
			for i := range 30 {
				do(fmt.Sprint(i))
			}
		}
		fill(s.add)
		if got := pass(100, nil); got != 0 || s.at.Unix() != 160 {
			t.Fatalf("%s: at first %d go, at %v", c.name, got, s.at)
		}
		if c.comeBack {
			fill(s.spare)
		}
		if got := pass(130, c.between); got != 0 {
			t.Errorf("%s: meanwhile %d go", c.name, got)
		}
		fill(s.add)
		var at int64
		got := pass(170, nil)
		if !s.at.IsZero() {
			at = s.at.Unix()
		}
		if got != c.want || at != c.at {
			t.Errorf("%s: in the end %d go, at %d, want %d at %d", c.name, got, at, c.want, c.at)
		}
	}
}

// What its source has read it must have taken, or it would be ready with nothing.
func TestReadyWithWhatTheSourceRead(t *testing.T) {
	l := newLoop(New(Config{Node: "n1"}, &statuses{}, slog.New(slog.DiscardHandler)), nil, identity.Config{})
	l.leader = "n2"
	if err := l.state().Ready(); err == nil {
		t.Error("it is ready before it has what its source read")
	}
	l.catalog.apply(source.Update{Synced: source.Kinds[:]})
	if err := l.state().Ready(); err != nil {
		t.Error(err)
	}
}
