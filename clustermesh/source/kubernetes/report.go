package kubernetes

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tombolo.io/tombolo/clustermesh/source"
)

// heed takes in how the API answered.
func (s *Source) heed(k kind, a answer) {
	old, refused := s.refusals[k.Kind]
	if a.err == nil {
		delete(s.refusals, k.Kind)
		if refused && old.sort() != "error" {
			s.log.Info("the Kubernetes API lets a kind be read", "kind", k.Kind)
		}
		return
	}
	r := refusal{k, a.verb, a.err}
	s.refusals[k.Kind] = r
	if r.ours() {
		s.book.withhold(k.Kind)
	}
	if refused && old.sort() == r.sort() {
		return
	}
	if r.absent() && k.optional {
		s.log.Info("the Kubernetes API has not a kind that it may do without", "kind", k.Kind)
		return
	}
	if r.sort() == "error" {
		s.log.Debug("the Kubernetes API does not answer", "reason", r.String())
		return
	}
	s.log.Warn("a kind cannot be read; what was known of it stays, and it is tried again", "kind", k.Kind, "reason", r.String())
}

// ours says whether the refusal leaves the other kinds something to deliver.
func (r refusal) ours() bool { return r.absent() || r.kind.ours && r.denied() }

// err returns why the API cannot be read, and what is missing in one that can.
func (s *Source) err() (text string, missing []source.Problem) {
	var all []string
	for _, k := range kinds {
		r, ok := s.refusals[k.Kind]
		switch {
		case !ok, r.absent() && k.optional:
		case r.absent():
			missing = append(missing, source.Problem{Object: string(k.Kind), Reason: r.String()})
		default:
			all = append(all, r.String())
		}
	}
	if len(all) > 1 {
		return fmt.Sprintf("%s (and %d more kinds)", all[0], len(all)-1), missing
	}
	return strings.Join(all, ""), missing
}

// publish makes a new status and logs what changed in it. It returns whether
// people would see it in another light.
func (s *Source) publish(now time.Time) (changed bool) {
	old := s.Status()
	st := old
	st.Synced, st.Objects = !s.book.first, s.book.objects()
	var missing []source.Problem
	if st.Err, missing = s.err(); st.Err != old.Err {
		st.Since, changed = now, true
		s.logReach(old.Err, st.Err)
	}
	if s.book.reported || len(missing) != s.absent {
		s.logRemarks(s.book.remarks(), st.Remarks)
		st.Held, st.Problems, st.Remarks = s.book.held(), slices.Concat(missing, s.book.problems()), s.book.remarks()
		s.logHeld(st.Held)
		s.logProblems(st.Problems)
		s.notes.set(s.book.faults, s.book.strays)
		s.book.reported, s.absent, changed = false, len(missing), true
	}
	s.status.Store(&st)
	return changed
}

// logReach logs that the API can no longer be read, or can again.
func (s *Source) logReach(before, now string) {
	switch {
	case before == "":
		s.log.Error("the Kubernetes API cannot be read; everything stays as it was", "api", s.client.host, "err", now)
	case now == "":
		s.log.Info("the Kubernetes API can be read again", "api", s.client.host)
	}
}

func (s *Source) logHeld(now []source.Held) {
	held := map[source.Kind]bool{}
	for _, h := range now {
		if held[h.Kind] = true; !s.held[h.Kind] {
			s.log.Warn("a list of the Kubernetes API lacks objects; they stay", "kind", h.Kind, "missing", h.Missing, "of", h.Of, "reason", h.Why)
		}
	}
	for kind := range s.held {
		if !held[kind] {
			s.log.Info("nothing of a kind is held back any more", "kind", kind)
		}
	}
	s.held = held
}

// logRemarks logs what objects say that means nothing, once.
func (s *Source) logRemarks(now, before []source.Problem) {
	said := make(map[source.Problem]bool, len(before))
	for _, p := range before {
		said[p] = true
	}
	for _, p := range now {
		if !said[p] {
			s.log.Warn("object says what means nothing to the mesh", "object", p.Object, "reason", p.Reason)
		}
	}
}

func (s *Source) logProblems(now []source.Problem) {
	current := make(map[source.Problem]bool, len(now))
	for _, p := range now {
		if current[p] = true; !s.known[p] {
			s.log.Warn("object not taken; what was known of it stays", "object", p.Object, "reason", p.Reason)
		}
	}
	for p := range maps.Keys(s.known) {
		if !current[p] {
			s.log.Info("object mended", "object", p.Object, "reason", p.Reason)
		}
	}
	s.known = current
}
