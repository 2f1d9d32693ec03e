package health

import (
	"errors"
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
	records, _, err := kept.Read[[]Record](h.path(recordsFile))
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

// recordsFile has what is known of the nodes.
const recordsFile = "health.json"

// saveSoon has the records written as they are now.
func (h *Health) saveSoon() { h.file(recordsFile, h.machine.Records()) }

// save keeps what must be known after a restart, once nobody else writes.
func (h *Health) save() (err error) {
	if h.survey.Cluster != "" {
		err = kept.Write(h.path(surveyFile), h.dated(time.Now()))
	}
	if h.machine != nil {
		err = errors.Join(err, kept.Write(h.path(recordsFile), h.machine.Records()))
	}
	return err
}
