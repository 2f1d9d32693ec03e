package mirror

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
)

// peer is what Mirrors knows of a configured peer.
type peer struct {
	config *clustermesh.Peer
	reader *reader
	stop   context.CancelFunc

	// said is what the peer says of itself, nil while it does not.
	said *clustermesh.Cluster
	// refusal is why it may not join; nil when it may, or nothing was said.
	refusal error
	pass    *pass

	// stale is since when the peer is out of reach, or nobody keeps its store, and err
	// why; trouble is why it is not even dialled.
	stale   time.Time
	err     error
	trouble error
	// heard is set once the reader of the present pass delivered something.
	heard bool

	epoch    string
	revision int64
	// state is what mirror/<peer>/state says, nil while there is none; told: this term
	// wrote it.
	state *clustermesh.MirrorState
	told  bool
	// problems are the keys whose present value is not mirrored, and why.
	problems map[string]error
}

// pass is one reading of a peer, from its beginning.
type pass struct {
	// id names the pass in the markers.
	id string
	// under is whom the peer was taken for; nil while nothing may be taken.
	under *clustermesh.Cluster
	// dropped: data came that was not taken. Only another pass brings it again.
	dropped bool
	tables  map[clustermesh.Kind]*table
}

// table is what a pass brought of one table.
type table struct {
	// keys are those that the peer has, as it writes them.
	keys map[string]struct{}
	// synced: the peer vouches for the table at this moment; else why says why
	// not. swept: it did before, so what it had not was removed.
	synced, swept bool
	why           error
}

func newPass() *pass {
	p := &pass{id: rand.Text(), tables: map[clustermesh.Kind]*table{}}
	for _, k := range clustermesh.Tables(clustermesh.Export) {
		p.tables[k] = &table{keys: map[string]struct{}{}}
	}
	return p
}

// open reports whether what the peer says may be taken.
func (p *peer) open() bool { return p.refusal == nil && p.pass.under != nil }

// phase says how far the mirror is, and why it is not further.
func (p *peer) phase() (clustermesh.MirrorPhase, string) {
	if p.refusal != nil {
		return clustermesh.MirrorRefused, p.refusal.Error()
	}
	why := p.unsynced()
	if why == "" {
		return clustermesh.MirrorSynced, ""
	}
	if p.state != nil && (p.state.Phase == clustermesh.MirrorSynced || p.state.Phase == clustermesh.MirrorStale) {
		return clustermesh.MirrorStale, why
	}
	return clustermesh.MirrorConnecting, why
}

// unsynced says why the mirror is not known to be as the peer is, or nothing.
func (p *peer) unsynced() string {
	switch {
	case p.trouble != nil:
		return p.trouble.Error()
	case errors.Is(p.err, view.ErrUnkept):
		return p.err.Error()
	case !p.stale.IsZero():
		return fmt.Sprintf("the peer is out of reach: %v", p.err)
	case !p.heard:
		return "nothing was heard of the peer yet"
	case p.said == nil:
		return "the peer does not say who it is: it has no export/cluster"
	}
	var behind []string
	for _, k := range sortedKeys(p.pass.tables) {
		if t := p.pass.tables[k]; !t.synced && !k.Later() {
			behind = append(behind, fmt.Sprintf("%s (%v)", k, cmp.Or(t.why, errNotRead)))
		}
	}
	if len(behind) == 0 {
		return ""
	}
	return "the peer does not vouch for " + strings.Join(behind, ", ")
}

// errNotRead is why a table of which the peer said nothing is not synced.
var errNotRead = errors.New("it was not read yet")

// describe returns what mirror/<peer>/state should say now. A phase that began
// earlier goes on.
func (p *peer) describe(now time.Time) *clustermesh.MirrorState {
	s := &clustermesh.MirrorState{Epoch: word(p.epoch), Revision: p.revision, Since: now}
	phase, reason := p.phase()
	s.Phase, s.Reason = phase, clustermesh.Line(reason)
	if p.said != nil {
		s.Cluster = *p.said
	} else if p.state != nil && p.state.Cluster.Name == p.config.Name {
		s.Cluster = p.state.Cluster
	}
	switch {
	case p.state != nil && p.state.Phase == s.Phase:
		s.Since = p.state.Since
	case s.Phase == clustermesh.MirrorStale && !p.stale.IsZero():
		s.Since = p.stale
	}
	return s
}

// word returns what a peer gave as a word, or "" when it cannot be stored.
func word(s string) string {
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	if len(s) > 253 || strings.ContainsFunc(s, odd) {
		return ""
	}
	return s
}

// sameState reports whether two states differ in no more than the revision.
func sameState(a, b *clustermesh.MirrorState) bool {
	return a.Phase == b.Phase && a.Reason == b.Reason && a.Epoch == b.Epoch && sameCluster(&a.Cluster, &b.Cluster)
}

// sameCluster reports whether two say the same of what their objects may be. Whom
// they peer with has no part in that.
func sameCluster(a, b *clustermesh.Cluster) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Name == b.Name && a.ID == b.ID && slices.Equal(a.PodCIDRs, b.PodCIDRs) && slices.Equal(a.NodeCIDRs, b.NodeCIDRs) &&
		slices.Equal(a.ServiceCIDRs, b.ServiceCIDRs) && slices.Equal(a.Capabilities, b.Capabilities)
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
