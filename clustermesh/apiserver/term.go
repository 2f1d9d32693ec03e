package apiserver

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/identity"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/etcd"
)

// term is the work of a leader: it brings export/ and private/ to what the
// catalog says. It begins with a complete pass, and ends when another leads or
// the store is found to be an older one.
type term struct {
	catalog *catalog
	cluster *clustermesh.Cluster
	writer  *etcd.Writer
	// source names this pass in the markers, epoch the store's.
	source, epoch string
	placements    *placements
	identities    *identities
	// seal is the cluster's, nil until it is known or made.
	seal *clustermesh.Seal
	// origin is the stored one, empty while there is none.
	origin string
	// gossip are the keys of the agents' gossip, rotation how far their exchange is.
	gossip    *clustermesh.Keyring
	rotation  rotation
	addresses *addresses
	// relearning is nil once identities are given out.
	relearning *relearning
	sweep      *sweep
	// sizes are the table sizes given out, by service.
	sizes map[clustermesh.ServiceName]uint32
	// addressed are the Services and imports that are stored or staged, by key, with the
	// addresses that they have there: see yield.
	addressed map[string]*clustermesh.Service
	// peers are those that are stored or staged, by key: what waits to be swept
	// is still mirrored. newPeers: they changed since the mirrors were told.
	peers    map[string]*clustermesh.Peer
	newPeers bool
	// drains are in force, by key, and drainAt is when one takes its next step.
	drains  map[string]*clustermesh.Drain
	drainAt time.Time
	// set is what clusters offer together, imports what is stored of it or staged, by
	// key. importsLost: the store does not know all that was.
	set         *clusterSet
	imports     map[string]*clustermesh.ServiceImport
	importsLost bool
	// remote: the endpoints of other clusters were counted.
	remote bool
	// held: we have the cluster's lease, written in that reign of the store.
	held  bool
	reign uint64
	// invalid is what cannot be stored, or was found stored, as it is, and why.
	invalid map[string]error
	// unmarked are the markers that this term has not staged yet, census counts
	// what each vouches for.
	unmarked map[string]struct{}
	census   census
}

// areas are those that the term writes.
var areas = []clustermesh.Area{clustermesh.Export, clustermesh.Private}

func prefix(a clustermesh.Area) string { return clustermesh.Root + string(a) + "/" }

func newTerm(cat *catalog, cfg *Config, ids identity.Config) *term {
	counts := census{}
	t := &term{
		catalog: cat, cluster: &cfg.Cluster, source: rand.Text(), placements: newPlacements(counts),
		identities: newIdentities(ids, counts), addresses: newAddresses(cfg.Addresses, counts), relearning: &relearning{wait: cfg.IdentityWait},
		sweep: newSweep(cfg.Shrink), set: newClusterSet(), imports: map[string]*clustermesh.ServiceImport{}, census: counts, unmarked: map[string]struct{}{},
		sizes: map[clustermesh.ServiceName]uint32{}, addressed: map[string]*clustermesh.Service{}, peers: map[string]*clustermesh.Peer{}, drains: map[string]*clustermesh.Drain{}, invalid: map[string]error{}, newPeers: true,
	}
	for _, m := range markers() {
		t.unmarked[m] = struct{}{}
	}
	for cluster, claims := range cat.claims {
		for addr, theirs := range claims {
			t.addresses.alloc.SetOther(cluster, addr, theirs)
		}
	}
	return t
}

// learn finds out what is stored: the keys, and what was given out.
func (t *term) learn(ctx context.Context, c *etcd.Client, fence etcd.Fence, now time.Time) (err error) {
	if t.writer, err = etcd.NewWriter(ctx, c, fence, prefix(clustermesh.Export), prefix(clustermesh.Private)); err != nil {
		return err
	}
	for _, p := range []string{
		prefix(clustermesh.Export) + string(clustermesh.KindServices) + "/",
		prefix(clustermesh.Private) + string(clustermesh.KindServices) + "/",
		prefix(clustermesh.Private) + string(clustermesh.KindPeers) + "/",
		prefix(clustermesh.Export) + string(clustermesh.KindDrains) + "/",
		prefix(clustermesh.Export) + string(clustermesh.KindAddresses) + "/",
		prefix(clustermesh.Private) + string(clustermesh.KindAddresses) + "/",
		prefix(clustermesh.Private) + string(clustermesh.KindImports) + "/",
		prefix(clustermesh.Private) + string(clustermesh.KindSeal),
		prefix(clustermesh.Private) + string(clustermesh.KindGossip),
		prefix(clustermesh.Private) + string(clustermesh.KindOrigin),
	} {
		if _, err := c.List(ctx, p, t.remember); err != nil {
			return fmt.Errorf("learning what was given out: %w", err)
		}
	}
	bad, err := t.identities.learn(ctx, c, now)
	if err != nil {
		return fmt.Errorf("learning the identities: %w", err)
	}
	maps.Copy(t.invalid, bad)
	lost, err := t.unvouched(ctx, c, clustermesh.Export, clustermesh.KindIdentities)
	if err != nil {
		return fmt.Errorf("learning whether all identities are known: %w", err)
	}
	if !lost {
		t.relearning = nil
	}
	if t.importsLost, err = t.unvouched(ctx, c, clustermesh.Private, clustermesh.KindImports); err != nil {
		return fmt.Errorf("learning whether all imports are known: %w", err)
	}
	if lost, err = t.unvouched(ctx, c, clustermesh.Private, clustermesh.KindAddresses); err != nil {
		return fmt.Errorf("learning whether all addresses are known: %w", err)
	}
	if lost {
		t.addresses.lost = true
		t.addresses.alloc.Lost()
	}
	return nil
}

// remember takes what a stored object was given. One that does not decode has
// nothing: it is about to be rewritten or swept.
func (t *term) remember(kv etcd.KV) error {
	o, err := clustermesh.DecodeAt(kv.Key, kv.Value)
	if err != nil {
		t.invalid[kv.Key] = err
		return nil
	}
	t.hold(kv.Key, o)
	switch o := o.(type) {
	case *clustermesh.Service:
		t.sizes[o.Name] = max(t.sizes[o.Name], o.TableSize)
	case *clustermesh.Peer:
		t.peers[kv.Key] = o
	case *clustermesh.Seal:
		t.seal = o
	case *clustermesh.Keyring:
		t.gossip = o
	case *clustermesh.Origin:
		t.origin = o.UID
	case *clustermesh.Address:
		t.addresses.learn(kv.Key, o)
	case *clustermesh.ServiceImport:
		t.imports[kv.Key] = o
		t.sizes[o.Service.Name.ClusterSet()] = o.Service.TableSize
		t.census.add(kv.Key, 1)
	case *clustermesh.Drain:
		t.drains[kv.Key] = o
		t.census.add(kv.Key, 1)
	}
	return nil
}

// pass stages everything, and finds what is stored and nobody wants.
func (t *term) pass(now time.Time) error {
	t.addresses.recall(nil) // what is stored, unless recall was there before
	t.setPools(now)
	t.unwanted(prefix(clustermesh.Export) + string(clustermesh.KindServices) + "/") // where slices of those lie that are unknown
	t.unwanted(prefix(clustermesh.Private) + string(clustermesh.KindServices) + "/")
	t.unwanted(prefix(clustermesh.Export) + string(clustermesh.KindExports) + "/")
	t.yield(now)
	for _, k := range t.catalog.all() {
		t.address(k, false, now)
		t.settle(k, false, now)
	}
	t.advance(now)
	t.keyring(now)
	t.identify(false, now)
	for _, a := range areas {
		t.unwanted(prefix(a))
	}
	return t.tidy(now)
}

// single are the kinds that no source brings.
var single = []clustermesh.Kind{clustermesh.KindSynced, clustermesh.KindCluster, clustermesh.KindLease, clustermesh.KindSeal, clustermesh.KindGossip, clustermesh.KindOrigin}

// unwanted finds what is stored below a prefix and nobody wants.
func (t *term) unwanted(prefix string) {
	for key := range t.writer.Stored(prefix) {
		k, err := clustermesh.ParseKey(key)
		if err == nil && (slices.Contains(single, k.Kind) || t.waits(k)) || t.wanted(key) {
			continue
		}
		t.sweep.add(key)
	}
}

func (t *term) wanted(key string) bool {
	_, ok := t.identities.keys[key]
	if !ok {
		_, ok = t.addresses.keys[key]
	}
	return ok || t.drains[key] != nil || t.imports[key] != nil || t.placements.wanted(key)
}

// take stages what an update touched.
func (t *term) take(touched []source.Key, full bool, now time.Time) error {
	pool := func(k source.Key) bool { return k.Kind == source.AddressPool }
	if slices.ContainsFunc(touched, pool) || t.addresses.doubted != t.catalog.anyUnknown(source.AddressPool) {
		t.setPools(now)
	}
	t.yield(now)
	for _, k := range touched {
		t.address(k, full, now)
		t.settle(k, full, now)
		t.offer(k)
	}
	if slices.ContainsFunc(touched, t.identities.matters) {
		t.identify(full, now)
	}
	return t.tidy(now)
}

// settle stages what a unit wants, and the deletion of what it no longer
// wants; with full, the unit was looked at in a full pass.
func (t *term) settle(unit source.Key, full bool, now time.Time) {
	if t.identities.matters(unit) {
		if t.relearning != nil {
			return // giveOut takes all of them in
		}
		t.identities.set(unit, t.catalog.objects[unit], now)
		return
	}
	delete(t.invalid, unit.String())
	var keys []string
	wants := t.place(unit)
	for _, p := range wants {
		keys = append(keys, p.key.String())
	}
	dropped, heirs := t.placements.set(unit, keys)
	for i, p := range wants {
		if t.placements.holds(unit, keys[i]) {
			t.put(keys[i], p.object, unit.String())
		}
	}
	for _, key := range dropped {
		t.gone(key, full && len(keys) == 0, now)
	}
	if unit.Kind == source.Service {
		name := clustermesh.ServiceName{Namespace: unit.Namespace, Name: unit.Name}
		if len(keys) == 0 && !t.lingers(clustermesh.Export, name) && !t.lingers(clustermesh.Private, name) {
			delete(t.sizes, name)
		}
		t.follow(name, now)
	}
	if unit.Kind == source.ServiceExport {
		t.follow(clustermesh.ServiceName{Namespace: unit.Namespace, Name: unit.Name}, now)
	}
	t.cordon(unit, now)
	for _, heir := range heirs {
		t.settle(heir, false, now)
	}
}

// identify stages what pods and namespaces brought to the identities.
func (t *term) identify(full bool, now time.Time) {
	if t.relearning != nil {
		return
	}
	puts, deletes := t.identities.changes(now)
	for _, o := range puts {
		key := clustermesh.KeyOf(clustermesh.Export, o).String()
		delete(t.invalid, key)
		t.put(key, o, key)
	}
	for _, key := range deletes {
		t.gone(key, full, now)
	}
}

// put stages an object. One that cannot be stored leaves what is stored of it.
func (t *term) put(key string, o clustermesh.Object, subject string) {
	t.sweep.spare(key)
	if p, ok := o.(*clustermesh.Peer); ok {
		t.peers[key], t.newPeers, t.set.all = p, true, true
	}
	value, err := clustermesh.Encode(o)
	if err != nil {
		t.invalid[subject] = err
		return
	}
	t.hold(key, o)
	t.writer.Put(key, value)
}

// gone stages the deletion of a key that nobody wants any more, at once or,
// when a full pass found it, with the next sweep.
func (t *term) gone(key string, full bool, now time.Time) {
	if full {
		t.sweep.add(key)
		return
	}
	t.writer.Delete(key)
	delete(t.addressed, key)
	t.bereave(key, now)
	if _, ok := t.peers[key]; ok {
		delete(t.peers, key)
		t.newPeers, t.set.all = true, true
	}
}

// tableSize gives a service the size of its tables. Only what is programmed
// on nodes has any.
func (t *term) tableSize(s *clustermesh.Service) uint32 {
	if !s.Global && s.Type != clustermesh.LoadBalancer {
		return 0
	}
	size := tableSize(t.sizes[s.Name], t.catalog.need(s), t.remote && t.catalog.synced())
	t.sizes[s.Name] = size
	return size
}

// recount takes in that the endpoints of services changed in other clusters.
func (t *term) recount(names []clustermesh.ServiceName, now time.Time) error {
	var touched []source.Key
	for _, n := range names {
		if s := t.catalog.service(n); s != nil && s.Global {
			touched = append(touched, serviceUnit(n))
		}
	}
	slices.SortFunc(touched, compareUnits)
	return t.take(slices.Compact(touched), false, now)
}
