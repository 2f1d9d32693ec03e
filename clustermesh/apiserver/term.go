package apiserver

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
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
	sweep         *sweep
	// sizes are the table sizes given out, by service.
	sizes map[clustermesh.ServiceName]uint32
	// remote: the endpoints of other clusters were counted.
	remote bool
	// invalid are the units of which something cannot be stored, and why.
	invalid map[source.Key]error
	// marked: the markers of this term are staged.
	marked bool
}

// open learns what is stored, for a pass over it.
func open(ctx context.Context, c *etcd.Client, fence etcd.Fence, epoch string, t *term) error {
	areas := []string{prefix(clustermesh.Export), prefix(clustermesh.Private)}
	writer, err := etcd.NewWriter(ctx, c, fence, areas...)
	if err != nil {
		return err
	}
	t.writer, t.epoch, t.source = writer, epoch, rand.Text()
	for _, a := range areas {
		_, err := c.List(ctx, a+string(clustermesh.KindServices)+"/", func(kv etcd.KV) error {
			t.learn(kv)
			return nil
		})
		if err != nil {
			return fmt.Errorf("learning table sizes: %w", err)
		}
	}
	return nil
}

func prefix(a clustermesh.Area) string { return clustermesh.Root + string(a) + "/" }

// learn remembers the table size of a stored service. One that does not
// decode has none: it is about to be rewritten or swept.
func (t *term) learn(kv etcd.KV) {
	o, err := clustermesh.DecodeAt(kv.Key, kv.Value)
	if s, ok := o.(*clustermesh.Service); ok && err == nil {
		t.sizes[s.Name] = max(t.sizes[s.Name], s.TableSize)
	}
}

// pass stages everything, and finds what is stored and nobody wants.
func (t *term) pass(now time.Time) error {
	self := at(clustermesh.Export, t.cluster)
	value, err := clustermesh.Encode(t.cluster)
	if err != nil {
		return err
	}
	t.writer.Put(self.key.String(), value)
	for _, k := range t.catalog.all() {
		t.settle(k, false)
	}
	for _, a := range []clustermesh.Area{clustermesh.Export, clustermesh.Private} {
		for key := range t.writer.Stored(prefix(a)) {
			k, err := clustermesh.ParseKey(key)
			if err == nil && (k.Kind == clustermesh.KindSynced || k.Kind == clustermesh.KindCluster) {
				continue
			}
			if !t.placements.wanted(key) {
				t.sweep.add(key)
			}
		}
	}
	return t.tidy(now)
}

// take stages what an update touched.
func (t *term) take(touched []source.Key, full bool, now time.Time) error {
	for _, k := range touched {
		t.settle(k, full)
	}
	return t.tidy(now)
}

// settle stages what a unit wants, and the deletion of what it no longer
// wants. What goes with a unit that was found missing by a full pass waits
// for the sweep.
func (t *term) settle(unit source.Key, full bool) {
	delete(t.invalid, unit)
	var keys []string
	values := map[string][]byte{}
	for _, p := range t.catalog.place(unit, t) {
		key := p.key.String()
		keys = append(keys, key)
		value, err := clustermesh.Encode(p.object)
		if err != nil {
			t.invalid[unit] = err // the key stays wanted: what is stored stays
			continue
		}
		values[key] = value
	}
	if unit.Kind == source.Service && len(keys) == 0 {
		delete(t.sizes, clustermesh.ServiceName{Namespace: unit.Namespace, Name: unit.Name})
	}
	dropped, heirs := t.placements.set(unit, keys)
	for _, key := range keys {
		t.sweep.spare(key)
		if value, ok := values[key]; ok && t.placements.holds(unit, key) {
			t.writer.Put(key, value)
		}
	}
	for _, key := range dropped {
		if full && len(keys) == 0 {
			t.sweep.add(key)
		} else {
			t.writer.Delete(key)
		}
	}
	for _, heir := range heirs {
		t.settle(heir, false)
	}
}

// tidy sweeps, if that may be, and writes the markers once nothing is left to
// sweep.
func (t *term) tidy(now time.Time) error {
	for key := range t.sweep.pass(t.catalog, len(t.placements.claims), now) {
		t.writer.Delete(key)
	}
	if t.marked || len(t.sweep.keys) > 0 || !t.catalog.synced() {
		return nil
	}
	return t.mark()
}

// mark stages the markers of all tables.
func (t *term) mark() error {
	counts := map[string]int{}
	for key := range t.placements.claims {
		if m, ok := clustermesh.MarkerAt(key); ok {
			counts[m]++
		}
	}
	for _, a := range []clustermesh.Area{clustermesh.Export, clustermesh.Private} {
		for _, kind := range clustermesh.Tables(a) {
			key := clustermesh.Key{Area: a, Kind: clustermesh.KindSynced, Name: string(kind)}.String()
			value, err := clustermesh.Encode(&clustermesh.Synced{Source: t.source, Epoch: t.epoch, Count: counts[key]})
			if err != nil {
				return err
			}
			t.writer.Mark(key, value)
		}
	}
	t.marked = true
	return nil
}

// refresh renews the markers, so that readers of a store that went back thaw,
// and this writer notices.
func (t *term) refresh() error {
	if !t.marked {
		return nil
	}
	return t.mark()
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

// identities gives the addresses of a pod their identity.
func (t *term) identities(w *source.Workload) []*clustermesh.EndpointIdentity { return nil }

// recount takes in how the endpoints of other clusters changed.
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
