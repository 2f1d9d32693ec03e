package apiserver

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/internal/kept"
)

// keptAddresses is what a file keeps of the addresses that were given out, beside
// the store: where the source's objects cannot say it, a store that was lost would
// forget it.
type keptAddresses struct {
	// Epoch is that of the store of which this was true.
	Epoch string `json:"epoch"`
	// Addresses are stored values by key.
	Addresses map[string][]byte `json:"addresses"`
}

// loadKept returns the file's contents as the memory of a term; an empty one when
// there is no file.
func loadKept(path string) (memory, error) {
	k, ok, err := kept.Read[keptAddresses](path)
	if err != nil || !ok {
		return memory{}, err
	}
	m := memory{epoch: k.Epoch, addresses: map[string]*clustermesh.Address{}}
	for key, value := range k.Addresses {
		o, err := clustermesh.DecodeAt(key, value)
		a, ok := o.(*clustermesh.Address)
		if err != nil || !ok {
			return memory{}, fmt.Errorf("reading %s: %s is no address: %w (remove the file to do without)", path, key, err)
		}
		m.addresses[key] = a
	}
	return m, nil
}

// stored returns what is to be stored of all addresses, by key.
func (a *addresses) stored() map[string]*clustermesh.Address {
	ours, mesh := a.alloc.All()
	out := make(map[string]*clustermesh.Address, len(ours)+len(mesh))
	for _, o := range ours {
		out[clustermesh.KeyOf(clustermesh.Private, o).String()] = o
	}
	for _, o := range mesh {
		out[clustermesh.KeyOf(clustermesh.Export, o).String()] = o
	}
	return out
}

// save writes the file anew.
func (t *term) save() error {
	k := keptAddresses{Epoch: t.epoch, Addresses: map[string][]byte{}}
	for key, o := range t.addresses.stored() {
		value, err := clustermesh.Encode(o)
		if err != nil {
			return err
		}
		k.Addresses[key] = value
	}
	return kept.Write(t.addresses.config.File, k)
}

// The file is written at most every keepEvery, and no more than a keepShare of
// the time.
const (
	keepEvery = 100 * time.Millisecond
	keepShare = 20
)

// keep writes the file, when the store has something that it has not, and the log.
func (l *loop) keep(now time.Time) {
	if l.term == nil {
		return
	}
	a := l.term.addresses
	a.notices.log(l.log)
	l.tell()
	l.gather()
	if a.config.File == "" || !a.unsaved || now.Before(l.keepAt) || l.term.writer.Staged() > 0 {
		return
	}
	err := l.term.save()
	l.keepAt = now.Add(max(keepEvery, keepShare*time.Since(now)))
	if err != nil && l.keepErr == nil {
		l.log.Warn("if the store is lost now, services get other addresses", "err", err)
	}
	l.keepErr, a.unsaved = err, err != nil
}

// recall takes in what was given out: what is stored, and what is remembered from
// before the store was lost. Of a store that does not know all of it the newer of the
// two goes first. If that is the memory, the store is a restored one, and counts only
// where it speaks of other addresses and other services: to have had an address once
// is no claim against whoever got it later.
func (a *addresses) recall(remembered map[string]*clustermesh.Address) {
	if a.lost && !newest(a.found).After(newest(remembered)) {
		a.take(remembered)
		a.take(without(a.found, remembered))
	} else {
		a.take(a.found)
		a.take(remembered)
	}
	a.found = nil
}

// take tells the allocator of addresses, by key. What it knows already stays.
func (a *addresses) take(all map[string]*clustermesh.Address) {
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if k, err := clustermesh.ParseKey(key); err == nil {
			a.alloc.Learn(all[key], k.Area == clustermesh.Export)
		}
	}
}

// newest returns when something was last claimed or given back.
func newest(all map[string]*clustermesh.Address) (at time.Time) {
	for _, o := range all {
		at = latest(at, o.Released)
		for _, c := range o.Claims {
			at = latest(at, c.Since)
		}
	}
	return at
}

// without returns what old says of the services that are not in what is newer.
func without(old, newer map[string]*clustermesh.Address) map[string]*clustermesh.Address {
	known := map[clustermesh.ServiceName]bool{}
	for _, o := range newer {
		for _, c := range o.Claims {
			known[c.Service] = true
		}
	}
	out := map[string]*clustermesh.Address{}
	for key, o := range old {
		rest := *o
		rest.Claims = slices.DeleteFunc(slices.Clone(o.Claims), func(c clustermesh.AddressClaim) bool { return known[c.Service] })
		if len(rest.Claims) > 0 || !rest.Released.IsZero() {
			out[key] = &rest
		}
	}
	return out
}
