package health

import (
	"context"
	"path/filepath"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/internal/kept"
)

func (h *Health) path(name string) string { return filepath.Join(h.config.RunDir, name) }

// load reads what was set by hand before a restart.
func (h *Health) load() {
	var err error
	if h.overrides, _, err = kept.Read[[]Override](h.path("verdicts.json")); err != nil {
		h.deps.Log.Warn("verdicts that were set by hand are lost", "error", err)
	}
}

// recall gives a new machine what was known before a restart.
func (h *Health) recall(s survey) {
	records, _, err := kept.Read[[]Record](h.path("health.json"))
	if err != nil {
		h.deps.Log.Warn("what was known of the mesh's nodes is lost", "error", err)
	}
	firsts := s.firsts()
	for i, r := range records {
		if r.Kinds == 0 && firsts[r.Name] == clustermesh.IPv6 {
			records[i] = r.moved()
		}
	}
	h.machine.Remember(records)
	for _, o := range h.overrides {
		h.machine.SetOverride(Name{o.Cluster, o.Node}, o.State)
	}
}

// saveWithin has the records written when the last ones are that old.
func (h *Health) saveWithin(d time.Duration) {
	if by := h.saved.Add(d); h.saveBy.IsZero() || by.Before(h.saveBy) {
		h.saveBy = by
	}
}

// saveSoon has the records written as they are now: a slow disk holds up nobody.
func (h *Health) saveSoon() {
	select {
	case <-h.records: // older ones, not begun
	default:
	}
	h.records <- h.machine.Records() // for which there is room
}

// record writes records until ctx ends.
func (h *Health) record(ctx context.Context) {
	for {
		select {
		case all := <-h.records:
			if err := h.write(all); err != nil {
				h.deps.Log.Warn("what is known of the mesh's nodes is not kept for a restart", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// save keeps what must be known after a restart.
func (h *Health) save() error {
	if h.machine == nil {
		return nil
	}
	return h.write(h.machine.Records())
}

func (h *Health) write(all []Record) error { return kept.Write(h.path("health.json"), all) }
