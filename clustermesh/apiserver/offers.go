package apiserver

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/clusterset"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/etcd"
)

// offers is what the mirrors have of services that other clusters offer.
type offers struct {
	// exports and slices are by service and key.
	exports map[clustermesh.ServiceName]map[string]*clustermesh.ServiceExport
	slices  map[clustermesh.ServiceName]map[string]source.ImportedSlice
	// shared are the clusters that share a global service.
	shared map[clustermesh.ServiceName]map[string]struct{}
	// synced are the tables of which the mirror of a cluster has all. silent: it is of a
	// version that offers nothing.
	synced map[string]map[clustermesh.Kind]struct{}
	silent map[string]bool
	// touched are services of which something changed since they were last asked for.
	touched map[clustermesh.ServiceName]struct{}
}

func newOffers() *offers {
	return &offers{
		exports: map[clustermesh.ServiceName]map[string]*clustermesh.ServiceExport{}, slices: map[clustermesh.ServiceName]map[string]source.ImportedSlice{},
		shared: map[clustermesh.ServiceName]map[string]struct{}{}, synced: map[string]map[clustermesh.Kind]struct{}{},
		silent: map[string]bool{}, touched: map[clustermesh.ServiceName]struct{}{},
	}
}

// hear takes in what a mirror has.
func (o *offers) hear(e etcd.Event[clustermesh.Object]) {
	key, err := clustermesh.ParseKey(e.Key)
	switch {
	case err != nil:
	case e.Op == etcd.Synced || e.Op == etcd.Unsynced:
		if key.Kind == clustermesh.KindSynced {
			keepIn(o.synced, key.Cluster, clustermesh.Kind(key.Name), struct{}{}, e.Op == etcd.Synced)
		}
	case e.Op == etcd.Put || e.Op == etcd.Delete:
		o.take(key, e)
	}
}

// known says whether all is here of what a cluster offers, and sharesKnown of what it
// shares.
func (o *offers) known(cluster string) bool {
	_, exports := o.synced[cluster][clustermesh.KindExports]
	return exports || o.silent[cluster]
}

func (o *offers) sharesKnown(cluster string) bool {
	_, services := o.synced[cluster][clustermesh.KindServices]
	_, slices := o.synced[cluster][clustermesh.KindSlices]
	return services && slices
}

// take takes in the value of a key, or that it is gone.
func (o *offers) take(key clustermesh.Key, e etcd.Event[clustermesh.Object]) {
	switch key.Kind {
	case clustermesh.KindCluster:
		c, ok := e.Value.(*clustermesh.Cluster)
		o.silent[key.Cluster] = ok && !c.TellsExports()
	case clustermesh.KindExports:
		x, _ := e.Value.(*clustermesh.ServiceExport)
		keepIn(o.exports, nameOf(key), key.Cluster, x, x != nil)
		o.touched[nameOf(key)] = struct{}{}
	case clustermesh.KindServices:
		s, _ := e.Value.(*clustermesh.Service)
		keepIn(o.shared, nameOf(key), key.Cluster, struct{}{}, s != nil && s.Global && s.Shared && s.Weight > 0)
		o.touched[nameOf(key)] = struct{}{}
	case clustermesh.KindSlices:
		s, _ := e.Value.(*clustermesh.EndpointSlice)
		keepIn(o.slices, nameOf(key), e.Key, source.ImportedSlice{Cluster: key.Cluster, EndpointSlice: s}, s != nil)
		o.touched[nameOf(key)] = struct{}{}
	}
}

// nameOf returns the service that the key of an export or a slice names.
func nameOf(k clustermesh.Key) clustermesh.ServiceName {
	namespace, rest, _ := strings.Cut(k.Name, "/")
	name, _, _ := strings.Cut(rest, "/")
	return clustermesh.ServiceName{Namespace: namespace, Name: name}
}

// keepIn keeps what something has under a key, or forgets it.
func keepIn[N, K comparable, T any](in map[N]map[K]T, n N, key K, v T, there bool) {
	m := in[n]
	switch {
	case !there:
		if delete(m, key); len(m) == 0 {
			delete(in, n)
		}
	case m == nil:
		in[n] = map[K]T{key: v}
	default:
		m[key] = v
	}
}

// clusterSet is what a term knows of the services that clusters offer together.
type clusterSet struct {
	// services are all of them, also those in namespaces that there are not here.
	services map[clustermesh.ServiceName]*source.Imported
	exports  map[clustermesh.ServiceName][]clustermesh.Condition
	// globals are our own global Services that wish for slices of others.
	globals map[clustermesh.ServiceName]*source.Global
	// touched are those to look at anew; all: every one.
	touched map[clustermesh.ServiceName]struct{}
	all     bool
	// joined: all were looked at in this term.
	joined bool
	// news: something is to be told. unknown is what was told last of which clusters'
	// offers are not known.
	news    bool
	unknown unknown
}

// unknown is of which clusters it is not known at present whether they offer what
// nobody has of them: a mirror was never complete, or, of ourselves, an object of the
// source cannot be read on which that hangs. It is immutable.
type unknown struct {
	clusters map[string]bool
	// shares is the same for global services.
	shares map[string]bool
	// others: those that are not named, too.
	others bool
	// self is our own cluster, offers are the services of which it is not known whether
	// we offer them, and services those of which it is not known what they say.
	self             string
	offers, services doubts
}

// doubts are services, or all there may be.
type doubts struct {
	all  bool
	some map[clustermesh.ServiceName]bool
}

func (d doubts) of(n clustermesh.ServiceName) bool { return d.all || d.some[n] }

func (u unknown) ofShares(cluster string, n clustermesh.ServiceName) bool {
	if cluster == u.self {
		return u.services.of(n)
	}
	is, named := u.shares[cluster]
	return is || !named && u.others
}

func (u unknown) of(cluster string, n clustermesh.ServiceName) bool {
	if cluster == u.self {
		return u.offers.of(n)
	}
	is, named := u.clusters[cluster]
	return is || !named && u.others
}

func newClusterSet() *clusterSet {
	return &clusterSet{
		services: map[clustermesh.ServiceName]*source.Imported{}, exports: map[clustermesh.ServiceName][]clustermesh.Condition{},
		globals: map[clustermesh.ServiceName]*source.Global{}, touched: map[clustermesh.ServiceName]struct{}{}, all: true,
	}
}

// offer takes note that a unit was settled on which offers hang.
func (t *term) offer(unit source.Key) {
	switch unit.Kind {
	case source.Service, source.ServiceExport:
		t.set.touched[clustermesh.ServiceName{Namespace: unit.Namespace, Name: unit.Name}] = struct{}{}
	case source.Namespace:
		for n := range t.catalog.offers.exports {
			if n.Namespace == unit.Name {
				t.set.touched[n] = struct{}{}
			}
		}
		for n := range t.set.services {
			if n.Namespace == unit.Name {
				t.set.touched[n] = struct{}{}
			}
		}
		for n := range t.set.exports {
			if n.Namespace == unit.Name {
				t.set.touched[n] = struct{}{}
			}
		}
	}
}

// join looks at what was touched of the offers, once those of other clusters were
// heard and our own are all here.
func (t *term) join(now time.Time) {
	s, o := t.set, t.catalog.offers
	if !t.remote || !t.catalog.synced() {
		return
	}
	if u := t.unknownOffers(); !reflect.DeepEqual(u, s.unknown) {
		s.unknown, s.all, s.news = u, true, true
	}
	for n := range o.touched {
		s.touched[n] = struct{}{}
	}
	clear(o.touched)
	if s.all {
		for n := range o.exports {
			s.touched[n] = struct{}{}
		}
		for unit := range t.catalog.objects {
			if unit.Kind == source.ServiceExport || unit.Kind == source.Service {
				s.touched[clustermesh.ServiceName{Namespace: unit.Namespace, Name: unit.Name}] = struct{}{}
			}
		}
		for n := range s.services {
			s.touched[n] = struct{}{}
		}
		for _, i := range t.imports {
			s.touched[i.Service.Name] = struct{}{}
		}
		s.all, s.news = false, true
	}
	peers := map[string]bool{}
	for _, p := range t.peers {
		peers[p.Name] = true
	}
	for n := range s.touched {
		t.joinOne(n, peers)
		t.joinGlobal(n, peers)
		t.storeImport(n, now)
		s.news = true
	}
	clear(s.touched)
	s.joined = true
}

// joinOne looks at one service.
func (t *term) joinOne(n clustermesh.ServiceName, peers map[string]bool) {
	joined := clusterset.Resolve(n, t.offersOf(n, peers))
	if t.catalog.export(n) == nil {
		delete(t.set.exports, n)
	} else {
		t.set.exports[n] = clusterset.Conditions(t.standing(n, joined))
	}
	if joined == nil {
		delete(t.set.services, n)
		return
	}
	i := &source.Imported{Service: *joined}
	i.Addresses, _ = t.catalog.reach.addresses(n)
	for unit := range t.catalog.slicesOf[n] {
		for _, o := range t.catalog.objects[unit] {
			if s := o.(*clustermesh.EndpointSlice); s.Service == n && slices.Contains(joined.Clusters, t.cluster.Name) {
				i.Slices = append(i.Slices, source.ImportedSlice{Cluster: t.cluster.Name, EndpointSlice: s})
			}
		}
	}
	for _, s := range t.catalog.offers.slices[n] {
		if slices.Contains(joined.Clusters, s.Cluster) {
			i.Slices = append(i.Slices, s)
		}
	}
	slices.SortFunc(i.Slices, bySource)
	t.set.services[n] = i
}

func bySource(a, b source.ImportedSlice) int {
	return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Name, b.Name))
}

// joinGlobal looks at a service of ours that may wish for slices of other clusters.
func (t *term) joinGlobal(n clustermesh.ServiceName, peers map[string]bool) {
	wish := t.catalog.sliceWish(n)
	if wish == nil {
		delete(t.set.globals, n)
		return
	}
	g := &source.Global{Name: n, UID: wish.UID, Headless: t.catalog.service(n).Headless}
	for _, s := range t.catalog.offers.slices[n] {
		if _, shares := t.catalog.offers.shared[n][s.Cluster]; shares && peers[s.Cluster] {
			g.Slices = append(g.Slices, s)
		}
	}
	slices.SortFunc(g.Slices, bySource)
	t.set.globals[n] = g
}

// offersOf returns what the clusters offer under a name: we and our peers.
func (t *term) offersOf(n clustermesh.ServiceName, peers map[string]bool) (out []clusterset.Offer) {
	if e := t.catalog.offered(n); e != nil {
		out = append(out, clusterset.Offer{Cluster: t.cluster.Name, Export: e})
	}
	for cluster, e := range t.catalog.offers.exports[n] {
		if peers[cluster] {
			out = append(out, clusterset.Offer{Cluster: cluster, Export: e})
		}
	}
	return out
}

// standing returns how our own ServiceExport stands.
func (t *term) standing(n clustermesh.ServiceName, joined *clusterset.Service) clusterset.Standing {
	unit := exportUnit(n)
	st := clusterset.Standing{Service: t.catalog.service(n), Told: len(t.placements.keys[unit]) > 0, Joined: joined}
	if err := t.invalid[unit.String()]; err != nil {
		st.Problem = clustermesh.Line(err.Error())
	}
	return st
}

// unknownOffers returns whose offers are not known.
func (t *term) unknownOffers() unknown {
	c := t.catalog
	out := unknown{
		clusters: map[string]bool{}, shares: map[string]bool{}, others: c.anyUnknown(source.ClusterPeer),
		self: t.cluster.Name, offers: t.doubtedOffers(), services: c.doubtedServices(),
	}
	for _, p := range t.peers {
		out.clusters[p.Name], out.shares[p.Name] = !c.offers.known(p.Name), !c.offers.sharesKnown(p.Name)
	}
	return out
}

// clusterSet returns what there is to tell.
func (t *term) clusterSet() source.ClusterSet {
	out := source.ClusterSet{
		Services: maps.Clone(t.set.services), Exports: maps.Clone(t.set.exports), Globals: maps.Clone(t.set.globals),
		Cluster: t.cluster.Name, Unknown: t.set.unknown.of, UnknownShares: t.set.unknown.ofShares,
	}
	maps.DeleteFunc(out.Services, func(n clustermesh.ServiceName, _ *source.Imported) bool {
		return len(t.catalog.objects[source.Key{Kind: source.Namespace, Name: n.Namespace}]) == 0
	})
	return out
}

// exportsMarker vouches for our own exports.
var exportsMarker = clustermesh.Key{Area: clustermesh.Export, Kind: clustermesh.KindSynced, Name: string(clustermesh.KindExports)}.String()

// gather tells the source what the clusters offer together, of what is stored, if it
// can show it.
func (l *loop) gather() {
	w, ok := l.server.source.(source.ClusterSetWriter)
	if !ok || l.term == nil || !l.remote || !l.catalog.synced() || l.term.writer.Staged() > 0 {
		return
	}
	if set := l.term.set; set.news {
		set.news = false
		w.SetClusterSet(l.term.clusterSet())
	}
}
