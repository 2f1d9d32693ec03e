package health

import (
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

// save keeps what must be known after a restart.
func (h *Health) save() error {
	if h.machine == nil {
		return nil
	}
	h.dirty, h.saved = false, time.Now()
	return kept.Write(h.path("health.json"), h.machine.Records())
}
