package apiserver

import (
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// An import is stored for the nodes, which reach it by its addresses. It stays while
// it names a cluster of which it is not known whether it still offers the service; and
// after the store was lost its table is not vouched for before that is known of all.
// Its addresses are those of now all the same: one that it has no longer may be
// another's.

// importsMarker vouches for the imports.
var importsMarker = clustermesh.Key{Area: clustermesh.Private, Kind: clustermesh.KindSynced, Name: string(clustermesh.KindImports)}.String()

// storeImport stages what is to be stored of the import of a service.
func (t *term) storeImport(n clustermesh.ServiceName, now time.Time) {
	key := clustermesh.KeyOf(clustermesh.Private, &clustermesh.ServiceImport{Service: clustermesh.Service{Name: n}}).String()
	subject := source.Key{Kind: source.ServiceImport, Namespace: n.Namespace, Name: n.Name}.String()
	ips, taken := t.catalog.reach.addresses(n)
	if delete(t.invalid, subject); taken != nil {
		t.invalid[subject] = taken
	}
	stored, want := t.imports[key], t.importOf(n, ips)
	if stored != nil && len(ips) == 0 && taken == nil && t.catalog.doubts(key) {
		return // who names its address may only be unreadable
	}
	if stored != nil && len(ips) > 0 && t.unsure(stored, want) {
		kept := *stored
		kept.Service.ClusterIPs = ips
		want = &kept
	}
	switch {
	case want != nil:
		if stored == nil {
			t.census.add(key, 1)
		}
		t.imports[key] = want
		delete(t.invalid, key)
		t.put(key, want, subject)
	case stored != nil:
		delete(t.imports, key)
		t.census.add(key, -1)
		delete(t.sizes, n.ClusterSet())
		t.gone(key, !t.set.joined || len(ips) == 0 && t.catalog.reach.missed[n], now)
		delete(t.catalog.reach.missed, n)
	}
}

// unsure says whether an import may be more than what is known of it: it names a
// cluster that may offer the service still.
func (t *term) unsure(stored, want *clustermesh.ServiceImport) bool {
	return slices.ContainsFunc(stored.Clusters, func(c string) bool {
		return t.set.unknown.of(c, stored.Service.Name) && (want == nil || !slices.Contains(want.Clusters, c))
	})
}

// importOf returns the import of a service: what its exports say, under its addresses;
// and what our own Service of its name wishes for its clients, and says of our
// endpoints. Nil if there is none, or it has no address.
func (t *term) importOf(n clustermesh.ServiceName, ips []netip.Addr) *clustermesh.ServiceImport {
	i := t.set.services[n]
	if i == nil || i.Headless || len(ips) == 0 {
		return nil
	}
	s := clustermesh.Service{
		Name: n, ClusterIPs: ips, Ports: i.Ports, Global: true, Shared: true, Weight: defaultWeight, Created: i.Since,
		SessionAffinity: i.SessionAffinity, InternalPolicy: i.InternalPolicy, Distribution: i.Distribution,
	}
	if own := t.catalog.service(n); own != nil {
		s.Affinity, s.Overprovisioning, s.Outliers = own.Affinity, own.Overprovisioning, own.Outliers
		s.Weight, s.Priority, s.PublishNotReady = own.Weight, own.Priority, own.PublishNotReady
	}
	var families [2]int
	for _, o := range i.Slices {
		if len(o.Endpoints) > 0 && o.Endpoints[0].Address.Is6() {
			families[1] += len(o.Endpoints)
		} else {
			families[0] += len(o.Endpoints)
		}
	}
	s.TableSize = tableSize(t.sizes[n.ClusterSet()], max(families[0], families[1]), true)
	t.sizes[n.ClusterSet()] = s.TableSize
	return &clustermesh.ServiceImport{Service: s, Clusters: i.Clusters}
}

// defaultWeight is that of endpoints of which nobody says one.
const defaultWeight = 100

// importsWait says whether the imports are not to be vouched for yet.
func (t *term) importsWait() bool {
	if !t.set.joined {
		return true
	}
	if !t.importsLost {
		return false
	}
	for _, unknown := range t.set.unknown.clusters {
		if unknown {
			return true
		}
	}
	return t.set.unknown.others || t.ownImportsWait()
}

// ownImportsWait says whether it is not known of which services there are imports as far
// as that hangs on our own source. Where its API has no ServiceExports, or nobody may list
// them, there are none to wait for.
func (t *term) ownImportsWait() bool {
	c := t.catalog
	if _, all := c.unknown[source.Key{}]; all || t.sweep.counts[exportsMarker] > 0 {
		return true
	}
	for k := range c.unknown {
		n := clustermesh.ServiceName{Namespace: k.Namespace, Name: k.Name}
		switch {
		case k.Kind == source.Service && (k.Name == "" || c.export(n) != nil), k.Kind == source.ServiceExport && k.Name != "":
			return true
		}
	}
	return t.addressesWait()
}

// addressesWait says whether what gives an import its address cannot be read.
func (t *term) addressesWait() bool {
	c := t.catalog
	if c.allUnknown(source.ServiceImport) {
		return len(t.set.services) > 0
	}
	for k := range c.unknown {
		if k.Kind == source.ServiceImport && t.set.services[clustermesh.ServiceName{Namespace: k.Namespace, Name: k.Name}] != nil {
			return true
		}
	}
	for n := range t.set.services {
		if _, is := c.unknown[serviceUnit(clustermesh.ServiceName{Namespace: n.Namespace, Name: source.DerivedName(n)})]; is {
			return true
		}
	}
	return false
}
