package apiserver

import (
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// Of two Services with one address nodes lead it to the older. A Service that is gone
// must not be that one, though its key waits to be swept because so much would go at once.

// hold takes note of the addresses that an object has in the store, or is about to have.
func (t *term) hold(key string, o clustermesh.Object) {
	switch o := o.(type) {
	case *clustermesh.Service:
		t.addressed[key] = o
	case *clustermesh.ServiceImport:
		t.addressed[key] = &o.Service
	}
}

// yield has what waits to be swept give up the addresses that Services have now, before
// these are written. No address is given twice, so what had it is gone, and goes alone;
// what may only be unreadable loses the address. What another store says of addresses is
// no evidence.
func (t *term) yield(now time.Time) {
	if why, unsure := t.foreign(); why != "" || unsure || !t.catalog.synced() {
		return
	}
	for key := range t.sweep.keys {
		s := t.addressed[key]
		if s == nil {
			continue
		}
		unit := addressUnit(key, s.Name)
		left := slices.DeleteFunc(slices.Clone(s.ClusterIPs), func(a netip.Addr) bool { return t.catalog.reach.others(a, unit) })
		if len(left) < len(s.ClusterIPs) {
			t.yieldOne(key, unit, left, now)
		}
	}
}

// yieldOne lets go of a key, or leaves it but some of its addresses.
func (t *term) yieldOne(key string, unit source.Key, left []netip.Addr, now time.Time) {
	there := len(t.catalog.objects[unit]) > 0
	if there { // it has another address, or lies elsewhere
		t.address(unit, false, now)
		t.settle(unit, false, now)
	}
	if _, waits := t.sweep.keys[key]; !waits {
		return
	}
	if !there && t.catalog.doubts(key) {
		t.strip(key, left)
		return
	}
	t.sweep.spare(key)
	t.gone(key, false, now)
	t.swept(key, now)
}

// strip leaves a stored Service but some of its addresses. An import needs none of that:
// nodes lead to none what is a Service's.
func (t *term) strip(key string, left []netip.Addr) {
	if k, err := clustermesh.ParseKey(key); err != nil || k.Kind != clustermesh.KindServices {
		return
	}
	kept := *t.addressed[key]
	kept.ClusterIPs = left
	value, err := clustermesh.Encode(&kept)
	if err != nil {
		t.invalid[key] = err
		return
	}
	t.addressed[key] = &kept
	t.writer.Put(key, value)
}

// addressUnit returns the object of the source that has the addresses of a stored Service
// or import.
func addressUnit(key string, n clustermesh.ServiceName) source.Key {
	if k, err := clustermesh.ParseKey(key); err == nil && k.Kind == clustermesh.KindImports {
		n.Name = source.DerivedName(n)
	}
	return serviceUnit(n)
}
