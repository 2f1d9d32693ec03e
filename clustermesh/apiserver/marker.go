package apiserver

import (
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// tidy sweeps, if that may be, and marks the tables of which nothing is left to
// sweep.
func (t *term) tidy(now time.Time) error {
	t.join(now) // before what it no longer wants may go
	t.yield(now)
	t.sweep.foreign, t.sweep.unsure = t.foreign()
	for key := range t.sweep.pass(t.catalog, t.census, now) {
		t.gone(key, false, now)
		t.swept(key, now)
	}
	t.settleOrigin()
	t.orphans(now)
	t.allocate(now)
	t.join(now)
	t.introduce()
	if len(t.unmarked) == 0 || !t.catalog.synced() {
		return nil
	}
	for m := range t.unmarked {
		if k, err := clustermesh.ParseKey(m); t.sweep.counts[m] > 0 || m == importsMarker && t.importsWait() || err == nil && t.waits(clustermesh.Key{Kind: clustermesh.Kind(k.Name)}) {
			continue
		}
		delete(t.unmarked, m)
		if err := t.mark(m); err != nil {
			return err
		}
	}
	return nil
}

// marked says whether all markers of this term are staged.
func (t *term) marked() bool { return len(t.unmarked) == 0 }

// mark stages a marker.
func (t *term) mark(marker string) error {
	value, err := clustermesh.Encode(&clustermesh.Synced{Source: t.source, Epoch: t.epoch, Count: t.census[marker]})
	if err == nil {
		t.writer.Mark(marker, value)
	}
	return err
}

// markers returns the keys of the markers that the leader writes.
func markers() (out []string) {
	for _, a := range areas {
		for _, kind := range clustermesh.Tables(a) {
			out = append(out, clustermesh.Key{Area: a, Kind: clustermesh.KindSynced, Name: string(kind)}.String())
		}
	}
	return out
}

// refresh does what is due now and then: identities that nobody used for long
// are freed, and the markers renewed, so that readers of a store that went
// back thaw and this writer notices.
func (t *term) refresh(now time.Time) error {
	t.identify(false, now)
	for _, m := range markers() {
		if _, ok := t.unmarked[m]; ok {
			continue
		}
		if err := t.mark(m); err != nil {
			return err
		}
	}
	return nil
}
