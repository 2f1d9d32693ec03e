package apiserver

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// DrainOrder is what somebody wants of something of this cluster: that new
// connections move away from it, or that they come back.
type DrainOrder struct {
	What clustermesh.DrainKind
	Name string
	// Deadline is for how long the connections that are left may stay; zero is
	// for ever.
	Deadline time.Duration
	// Return: it comes back, within Over, step by step.
	Return bool
	Over   time.Duration
}

// DefaultOver is how long something takes to come back unless told otherwise.
const DefaultOver = 30 * time.Second

// cordoned is the reason of a drain that nobody asked for by hand.
const cordoned = "cordoned"

// Drain carries an order out and returns when it is stored. Only the API server
// that leads can.
func (a *APIServer) Drain(ctx context.Context, o DrainOrder) error {
	return a.order(ctx, fmt.Sprintf("draining %s %s", o.What, o.Name), func(t *term, now time.Time) error { return t.drain(o, now) })
}

// drain changes what is drained.
func (t *term) drain(o DrainOrder, now time.Time) error {
	d := &clustermesh.Drain{What: o.What, Name: o.Name, Moved: clustermesh.DrainedWhole, Since: now.UTC()}
	key := clustermesh.KeyOf(clustermesh.Export, d)
	old := t.drains[key.String()]
	if o.Return {
		if old == nil {
			return fmt.Errorf("bringing %s %s back: it is not drained; see tombolo drains", o.What, o.Name)
		}
		if o.What == clustermesh.DrainNode && t.cordoned(o.Name) { // whoever drained it besides
			return fmt.Errorf("bringing node %s back: it is cordoned, which drains it here: uncordon it (kubectl uncordon %s)", o.Name, o.Name)
		}
		d = returning(old, o.Over, now)
	} else {
		if old != nil && old.Returning.IsZero() {
			d.Since = old.Since
		}
		if o.Deadline > 0 {
			d.Deadline = now.UTC().Add(o.Deadline)
		}
		if err := t.drainable(d); err != nil {
			return err
		}
	}
	if err := clustermesh.Validate(key, d); err != nil {
		return err
	}
	t.setDrain(key.String(), d)
	t.advance(now)
	return nil
}

// drainable says why there is no such thing of ours to drain, or nothing.
func (t *term) drainable(d *clustermesh.Drain) error {
	known := false
	switch d.What {
	case clustermesh.DrainCluster:
		if d.Name != t.cluster.Name {
			return fmt.Errorf("draining cluster %s: this is cluster %s, and one drains only what is its own: ask an API server there", d.Name, t.cluster.Name)
		}
		known = true
	case clustermesh.DrainNode:
		known = len(t.catalog.objects[nodeUnit(d.Name)]) > 0
	case clustermesh.DrainService:
		known = t.catalog.service(d.Service()) != nil
	default:
		return fmt.Errorf("draining %s %s: want cluster, node or service", d.What, d.Name)
	}
	if !known {
		return fmt.Errorf("draining %s %s: cluster %s has no such %s", d.What, d.Name, t.cluster.Name, d.What)
	}
	return nil
}

func nodeUnit(name string) source.Key { return source.Key{Kind: source.Node, Name: name} }

// cordoned reports whether a node is, and whether that counts.
func (t *term) cordoned(node string) bool {
	o := t.catalog.objects[nodeUnit(node)]
	return t.catalog.cordonDrains && len(o) > 0 && o[0].(*clustermesh.Node).Draining
}

// cordon drains a node that is cordoned, its routes first, and brings it back when it
// no longer is.
func (t *term) cordon(unit source.Key, now time.Time) {
	if unit.Kind != source.Node {
		return
	}
	d := &clustermesh.Drain{What: clustermesh.DrainNode, Name: unit.Name, Since: now.UTC(), Reason: cordoned}
	key := clustermesh.KeyOf(clustermesh.Export, d).String()
	old := t.drains[key]
	switch is := t.cordoned(unit.Name); {
	case is && old == nil:
		t.setDrain(key, d)
	case is && !old.Returning.IsZero(): // its routes are hardly back
		d.Moved = clustermesh.DrainedWhole
		t.setDrain(key, d)
	case !is && old != nil && old.Reason == cordoned && old.Moved == 0:
		t.setDrain(key, nil)
	case !is && old != nil && old.Reason == cordoned && old.Returning.IsZero():
		t.setDrain(key, returning(old, DefaultOver, now))
	}
	t.advance(now)
}

// setDrain notes and stages a drain, or with nil its end.
func (t *term) setDrain(key string, d *clustermesh.Drain) {
	_, had := t.drains[key]
	switch {
	case d == nil && had:
		delete(t.drains, key)
		t.census.add(key, -1)
		t.gone(key, false, time.Now()) // no address hangs on it
	case d != nil:
		t.drains[key] = d
		if !had {
			t.census.add(key, 1)
		}
		t.put(key, d, key)
	}
}

// advance stages the steps of drains that are due, and notes when the next is.
func (t *term) advance(now time.Time) {
	t.drainAt = time.Time{}
	for _, key := range slices.Sorted(maps.Keys(t.drains)) {
		old := t.drains[key]
		d, at := step(old, now)
		if d == nil || *d != *old {
			t.setDrain(key, d)
		}
		if !at.IsZero() && (t.drainAt.IsZero() || at.Before(t.drainAt)) {
			t.drainAt = at
		}
	}
}
