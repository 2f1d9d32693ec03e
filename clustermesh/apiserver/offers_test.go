package apiserver

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// shower is a source that keeps what it is told of the cluster set.
type shower struct {
	source.Source
	told *atomic.Pointer[source.ClusterSet]
}

func (s shower) SetClusterSet(set source.ClusterSet) { s.told.Store(&set) }
func (s shower) StopClusterSet()                     { s.told.Store(nil) }

// shows has a member tell what it knows of the cluster set, from its next server on.
func (m *member) shows() *atomic.Pointer[source.ClusterSet] {
	told := &atomic.Pointer[source.ClusterSet]{}
	m.server.stop()
	m.wrap = func(s source.Source) source.Source { return shower{s, told} }
	m.server = m.serve("n1")
	return told
}

// textOfSet writes a cluster set as the tests want it: services with their clusters and
// slices, the conditions of exports that are not as they should be, and whose offers
// are unknown.
func textOfSet(set *source.ClusterSet, clusters ...string) string {
	if set == nil {
		return "nobody leads"
	}
	var out []string
	for name, i := range set.Services {
		text := fmt.Sprintf("%s of %s:", name, strings.Join(i.Clusters, "+"))
		for _, s := range i.Slices {
			text += fmt.Sprintf(" %s/%s(%d)", s.Cluster, s.Name, len(s.Endpoints))
		}
		out = append(out, text)
	}
	for name, g := range set.Globals {
		text := fmt.Sprintf("%s shows", name)
		for _, s := range g.Slices {
			text += fmt.Sprintf(" %s/%s(%d)", s.Cluster, s.Name, len(s.Endpoints))
		}
		out = append(out, text)
	}
	for name, all := range set.Exports {
		for _, c := range all {
			if c.Reason != "Valid" && c.Reason != "Ready" && c.Reason != "NoConflicts" {
				out = append(out, fmt.Sprintf("%s: %s=%s %s", name, c.Type, c.Status, c.Reason))
			}
		}
	}
	for _, c := range clusters {
		if set.Unknown(c, clustermesh.ServiceName{Namespace: "shop", Name: "web"}) {
			out = append(out, c+" is unknown")
		}
	}
	return strings.Join(out, "; ")
}

const shopYAML = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"

func westYAML(name string, endpoints int) string {
	return strings.ReplaceAll(serviceYAML(name, "", endpoints), "10.1.0.", "10.2.0.")
}

// What clusters offer is joined in each, with the endpoints of all; it stays when one
// falls silent, and goes when it is no peer any more.
func TestClusterSet(t *testing.T) {
	east, west := newMember(t, "east", 1), newMember(t, "west", 2)
	told := east.shows()
	is := func(what, want string) {
		t.Helper()
		east.until(what, func() bool { return textOfSet(told.Load(), "east", "west", "north") == want })
	}
	west.write("web.yaml", westYAML("web", 2)+exportYAML("web", ""))
	is("nobody is there yet", "")
	east.write("peer.yaml", west.peerOf())
	east.until("it is mirrored", func() bool { return east.have["mirror/west/exports/shop/web"] != nil })
	is("without its namespace it is nowhere", "")
	east.write("shop.yaml", shopYAML)
	is("and then it is imported", "shop/web of west: west/web-1(2)")
	west.write("web.yaml", westYAML("web", 5)+exportYAML("web", ""))
	is("endpoints come", "shop/web of west: west/web-1(5)")
	east.write("web.yaml", serviceYAML("web", "", 1)+exportYAML("web", "exportedLabels: {a: b}"))
	is("both offer it", "shop/web of east+west: east/web-1(1) west/web-1(5); shop/web: Conflict=True LabelsConflict")

	west.server.stop()
	east.degraded(east.server, "the mirror of west is Stale")
	east.write("web.yaml", serviceYAML("web", "", 3)+exportYAML("web", ""))
	is("a stale mirror keeps its cluster", "shop/web of east+west: east/web-1(3) west/web-1(5)")
	east.server.stop()
	told.Store(nil)
	east.server = east.serve("n1")
	is("so it is for the next to lead", "shop/web of east+west: east/web-1(3) west/web-1(5)")

	east.write("web.yaml", exportYAML("web", ""))
	is("our own went", "shop/web of west: west/web-1(5); shop/web: Valid=False NoService; shop/web: Ready=False Pending")
	east.write("blind.yaml", "{")
	is("or is it unknown", "shop/web of west: west/web-1(5); shop/web: Valid=False NoService; shop/web: Ready=False Pending; east is unknown; north is unknown")
	east.remove("blind.yaml")
	east.remove("web.yaml")
	is("it is gone", "shop/web of west: west/web-1(5)")
	east.write("north.yaml", strings.ReplaceAll(west.peerOf(), "name: west", "name: north"))
	is("of who was never heard nothing is known", "shop/web of west: west/web-1(5); north is unknown")
	east.remove("north.yaml")
	east.remove("peer.yaml")
	is("the peer goes", "")
}

// A global Service that wishes it shows the slices of the clusters that share it, and of
// no others.
func TestGlobalSlices(t *testing.T) {
	east, west := newMember(t, "east", 1), newMember(t, "west", 2)
	told := east.shows()
	is := func(what, want string) {
		t.Helper()
		east.until(what, func() bool { return textOfSet(told.Load(), "east", "west") == want })
	}
	sync := global + `, tombolo.io/global-sync-endpoint-slices: "true"`
	theirs := func(annotations string, endpoints int) {
		west.write("web.yaml", strings.ReplaceAll(serviceYAML("web", annotations, endpoints), "10.1.0.", "10.2.0."))
	}
	theirs(global, 2)
	east.write("shop.yaml", shopYAML)
	east.write("web.yaml", serviceYAML("web", global, 1))
	east.write("peer.yaml", west.peerOf())
	east.until("it is mirrored", func() bool { return east.have["mirror/west/services/shop/web"] != nil })
	is("it wishes nothing", "")
	east.write("web.yaml", serviceYAML("web", sync, 1))
	is("and then it does", "shop/web shows west/web-1(2)")
	theirs(global, 3)
	is("they change", "shop/web shows west/web-1(3)")
	theirs(global+`, tombolo.io/shared: "false"`, 3)
	is("west shares it with nobody", "shop/web shows")
	theirs(global, 3)
	is("west shares it again", "shop/web shows west/web-1(3)")
	west.server.stop()
	east.degraded(east.server, "the mirror of west is Stale")
	east.server.stop()
	told.Store(nil)
	east.server = east.serve("n1")
	is("west is silent", "shop/web shows west/web-1(3)")
	east.write("web.yaml", serviceYAML("web", sync[strings.Index(sync, "tombolo.io/global-sync"):], 1))
	is("it is global no more", "")
	east.write("web.yaml", serviceYAML("web", sync, 1))
	is("and is", "shop/web shows west/web-1(3)")
	east.remove("peer.yaml")
	is("west is no peer any more", "shop/web shows")
	east.remove("web.yaml")
	is("it is gone", "")
}

// What is wrong with a Service is no doubt about any other; nor, while nobody asks that
// it be offered, about what we offer.
func TestDoubtedOffers(t *testing.T) {
	for _, c := range []struct {
		unknown          string // KIND/NAMESPACE/NAME, or less of it
		offers, services string // of web and api, which are offered, and mail, which is not
	}{
		{"", "", ""},
		{"Service/shop/other", "", ""},
		{"Service/shop/mail", "", "mail"},
		{"Service/shop/web", "web", "web"},
		{"ServiceExport/shop/mail", "mail", ""},
		{"EndpointSlice/shop/any", "api web", ""},
		{"EndpointSlice/other/any", "", ""},
		{"Node//n1", "", ""},
		{"Service", "api mail web", "api mail web"},
		{"ServiceExport", "api mail web", ""},
		{"EndpointSlice", "api mail web", ""},
		{"//", "api mail web", "api mail web"},
	} {
		cat := newCatalog()
		u := source.Update{Changes: []source.Change{notated("offer web"), notated("offer api"), notated("offer gone"), notated("-offer gone")}}
		if f := strings.Split(c.unknown, "/"); c.unknown != "" {
			f = append(f, "", "")
			u.Unknown = []source.Key{{Kind: source.Kind(f[0]), Namespace: f[1], Name: f[2]}}
		}
		cat.apply(u)
		tm := &term{catalog: cat, sweep: newSweep(source.Shrink{}), cluster: &clustermesh.Cluster{Name: "east"}}
		unknown := tm.unknownOffers()
		list := func(of func(string, clustermesh.ServiceName) bool) string {
			var out []string
			for _, name := range []string{"api", "mail", "web"} {
				if of("east", clustermesh.ServiceName{Namespace: "shop", Name: name}) {
					out = append(out, name)
				}
			}
			return strings.Join(out, " ")
		}
		if got := list(unknown.of); got != c.offers {
			t.Errorf("%s: offers that are not known are %q, want %q", c.unknown, got, c.offers)
		}
		if got := list(unknown.ofShares); got != c.services {
			t.Errorf("%s: services that are not known are %q, want %q", c.unknown, got, c.services)
		}
	}
}

// After the store was lost imports are vouched for although a Service that nobody offers
// is wrong.
func TestImportsWaitForWhatMatters(t *testing.T) {
	for _, c := range []struct {
		unknown string
		want    bool
	}{
		{"Service/shop/mail", false}, {"EndpointSlice/shop/any", false}, {"ServiceExport", false}, {"Node//n1", false},
		{"Service/shop/web", true}, {"Service", true}, {"ServiceExport/shop/mail", true}, {"ServiceImport/shop/web", true}, {"ServiceImport/shop/mail", false},
		{"Service/shop/" + source.DerivedName(clustermesh.ServiceName{Namespace: "shop", Name: "web"}), true}, {"//", true},
	} {
		f := append(strings.Split(c.unknown, "/"), "", "")
		cat := newCatalog()
		cat.apply(source.Update{Changes: []source.Change{notated("offer web")}, Unknown: []source.Key{{Kind: source.Kind(f[0]), Namespace: f[1], Name: f[2]}}})
		tm := &term{catalog: cat, sweep: newSweep(source.Shrink{}), cluster: &clustermesh.Cluster{Name: "east"}, set: newClusterSet(), importsLost: true}
		tm.set.joined = true
		tm.set.services[clustermesh.ServiceName{Namespace: "shop", Name: "web"}] = &source.Imported{}
		tm.set.unknown = tm.unknownOffers()
		if got := tm.importsWait(); got != c.want {
			t.Errorf("%s: imports wait: %v, want %v", c.unknown, got, c.want)
		}
	}
}
