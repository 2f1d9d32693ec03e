package agent

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"sync/atomic"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/kept"
)

// inUse is which identities the pods of this node have. It is reported to the
// store, for a leader that has to learn it after the store was lost.
type inUse struct {
	// Epoch is that of the store which was last seen; what is in use may be known
	// from an earlier one.
	Epoch      string
	Identities []clustermesh.Identity
}

func (u *inUse) equal(o *inUse) bool {
	return u.Epoch == o.Epoch && slices.EqualFunc(u.Identities, o.Identities, sameIdentity)
}

func sameIdentity(a, b clustermesh.Identity) bool {
	return a.ID == b.ID && maps.Equal(a.Labels, b.Labels)
}

// identities follows which identities the pods of this node have, and keeps
// them on disk, so that an agent that starts while the store is lost knows them.
type identities struct {
	node, path string
	log        *slog.Logger
	used       atomic.Pointer[inUse]

	// known is what this cluster's identities mean, pods which of them an
	// address of this node has.
	known map[clustermesh.IdentityID]*clustermesh.Identity
	pods  map[netip.Addr]clustermesh.IdentityID
	// synced are the tables of these that are whole now.
	synced map[clustermesh.Kind]bool
	// kept is what was in use when the last agent wrote it down. It counts until
	// the tables were whole once.
	kept []clustermesh.Identity
}

// identitiesFile is the name of the file below the run directory.
const identitiesFile = "identities.json"

func newIdentities(c Config, log *slog.Logger) *identities {
	i := &identities{
		node: c.Node, path: filepath.Join(c.RunDir, identitiesFile), log: log,
		known: map[clustermesh.IdentityID]*clustermesh.Identity{}, pods: map[netip.Addr]clustermesh.IdentityID{},
		synced: map[clustermesh.Kind]bool{},
	}
	i.used.Store(&inUse{})
	return i
}

// inUse returns what is in use now; any goroutine may ask.
func (i *identities) inUse() *inUse { return i.used.Load() }

// run takes batches in until ctx ends.
func (i *identities) run(ctx context.Context, batches <-chan view.Batch) error {
	i.recall()
	for {
		select {
		case <-ctx.Done():
			return nil
		case b := <-batches:
			i.take(b)
		}
	}
}

// recall takes in what the last agent of this node kept.
func (i *identities) recall() {
	var err error
	if i.kept, _, err = kept.Read[[]clustermesh.Identity](i.path); err != nil {
		i.log.Warn("the identities in use before are not known", "err", err)
	}
	i.used.Store(&inUse{Identities: i.ofThisNode()})
}

// take takes a batch in, and publishes and keeps what is in use when that is
// something else now.
func (i *identities) take(b view.Batch) {
	for _, e := range b.Events {
		if k, err := clustermesh.ParseKey(e.Key); err == nil && k.Area == clustermesh.Export {
			i.see(k, e)
		}
	}
	now, before := &inUse{Epoch: b.Epoch, Identities: i.ofThisNode()}, i.inUse()
	if now.equal(before) {
		return
	}
	i.used.Store(now)
	if slices.EqualFunc(now.Identities, before.Identities, sameIdentity) {
		return
	}
	if err := kept.Write(i.path, now.Identities); err != nil {
		i.log.Warn("the identities in use are not kept for the next start", "err", err)
	}
}

// see takes in what the store says of an identity, of an address, or that their
// tables are whole. Of a table that is not, nothing is said, and all stays.
func (i *identities) see(k clustermesh.Key, e etcd.Event[clustermesh.Object]) {
	switch k.Kind {
	case clustermesh.KindSynced:
		i.synced[clustermesh.Kind(k.Name)] = e.Op == etcd.Synced
		if i.synced[clustermesh.KindIdentities] && i.synced[clustermesh.KindEndpoints] {
			i.kept = nil
		}
	case clustermesh.KindIdentities:
		if o, ok := e.Value.(*clustermesh.Identity); ok {
			i.known[o.ID] = o
		} else if id, err := clustermesh.ParseIdentityID(k.Name); err == nil && e.Op == etcd.Delete {
			delete(i.known, id)
		}
	case clustermesh.KindEndpoints:
		a, err := netip.ParseAddr(k.Name)
		if o, ok := e.Value.(*clustermesh.EndpointIdentity); ok && o.Node == i.node {
			i.pods[a] = o.Identity
		} else if err == nil && (ok || e.Op == etcd.Delete) {
			delete(i.pods, a)
		}
	}
}

// ofThisNode returns the identities of the pods here, by number.
func (i *identities) ofThisNode() []clustermesh.Identity {
	out := slices.Clone(i.kept)
	for _, id := range i.pods {
		if o := i.known[id]; o != nil {
			out = append(out, *o)
		}
	}
	slices.SortStableFunc(out, func(a, b clustermesh.Identity) int { return cmp.Compare(a.ID, b.ID) })
	out = slices.CompactFunc(out, func(a, b clustermesh.Identity) bool { return a.ID == b.ID })
	return out[:min(len(out), clustermesh.MaxReportedIdentities)]
}
