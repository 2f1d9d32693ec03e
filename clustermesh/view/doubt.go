package view

import "tombolo.io/tombolo/clustermesh"

// doubtMirrors doubts what the store says of mirrors, because it becomes stale.
func (v *View) doubtMirrors() {
	for o, p := range v.places {
		if o.area == clustermesh.Mirror {
			p.doubted = p.state != nil
		}
	}
}

// setState takes in what a mirror says of itself, nil when that is removed, as it was
// written at a revision of the store. What is written again, be it the same, is said by
// somebody who mirrors now. That of a store that was set back is not.
func (v *View) setState(p *place, s *clustermesh.MirrorState, revision int64) {
	old := p.state
	switch {
	case s == nil:
		p.doubted = false
	case old == nil:
		p.doubted = v.away // it may be from before the store was away
	case revision > p.stated:
		p.doubted = false
	}
	p.state, p.stated = s, max(p.stated, revision)
	if old != nil && s != nil && !v.away && s.Phase == clustermesh.MirrorSynced &&
		(old.Phase != clustermesh.MirrorSynced || !old.Since.Equal(s.Since)) {
		p.listings++
	}
}
