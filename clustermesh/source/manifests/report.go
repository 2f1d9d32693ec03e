package manifests

import (
	"time"

	"tombolo.io/tombolo/clustermesh/source"
)

// reachable takes note of whether the directory can be read.
func (s *Source) reachable(err error, now time.Time) {
	old := s.Status()
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == old.Err {
		return
	}
	if err != nil {
		s.log.Error("manifests cannot be read; everything stays as it was", "dir", s.config.Dir, "err", err)
	} else {
		s.log.Info("manifests can be read again", "dir", s.config.Dir)
	}
	old.Err, old.Since = text, now
	s.status.Store(&old)
	s.news = true
}

// publish makes a new status and logs what changed in it. It returns whether
// people would see it in another light.
func (s *Source) publish() (news bool) {
	st := s.Status()
	st.Synced, st.Objects = s.synced, len(s.set.delivered)
	if s.set.reported {
		s.logRemarks(s.set.remarks(), st.Remarks)
		st.Problems, st.Remarks, st.Skipped = s.set.problems(), s.set.remarks(), s.set.skipped()
		s.logProblems(st.Problems)
		s.logSkipped(st.Skipped)
		s.set.reported, s.news = false, true
	}
	s.status.Store(&st)
	news, s.news = s.news, false
	return news
}

func (s *Source) logProblems(now []source.Problem) {
	current := make(map[source.Problem]bool, len(now))
	for _, p := range now {
		if current[p] = true; !s.known[p] {
			s.log.Warn("manifest not taken; what was known of it stays", "at", p.Place, "object", p.Object, "reason", p.Reason)
		}
	}
	for p := range s.known {
		if !current[p] {
			s.log.Info("manifest mended", "at", p.Place, "object", p.Object, "reason", p.Reason)
		}
	}
	s.known = current
}

// logRemarks logs what objects say that means nothing, once.
func (s *Source) logRemarks(now, before []source.Problem) {
	said := make(map[source.Problem]bool, len(before))
	for _, p := range before {
		said[p] = true
	}
	for _, p := range now {
		if !said[p] {
			s.log.Warn("manifest says what means nothing to the mesh", "at", p.Place, "object", p.Object, "reason", p.Reason)
		}
	}
}

func (s *Source) logSkipped(now map[string]int) {
	for kind, n := range now {
		if !s.skipped[kind] {
			s.log.Info("skipping manifests of a kind that the mesh does not use", "kind", kind, "count", n)
		}
		s.skipped[kind] = true
	}
}
