package view

import (
	"errors"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
)

// ErrUnkept is why a store is stale that answers: what it says of its cluster grows old.
var ErrUnkept = errors.New("no API server of the cluster keeps what its etcd says up to date")

// The keys that a Keeper looks at.
var (
	clusterKey = clustermesh.Key{Area: clustermesh.Export, Kind: clustermesh.KindCluster}.String()
	leaseKey   = clustermesh.Key{Area: clustermesh.Export, Kind: clustermesh.KindLease}.String()
)

// Keeper follows whether an API server keeps up what lies under export/ of a store, by
// the batches of a watch of it. The zero value is ready.
type Keeper struct {
	// tells: the cluster has a lease while its objects are kept; held: somebody has it.
	tells, held bool
	// reign is in which of the store's reigns it was written.
	reign uint64
	// since is since when nobody has; zero while somebody does, or none is told.
	since time.Time
	// away is since when the store was out of reach, as of the last batch.
	away time.Time
}

// Follow takes a batch in that arrived at now, and makes it stale while nobody keeps
// the store, though that can be reached.
func (k *Keeper) Follow(b *Batch, now time.Time) {
	for _, e := range b.Events {
		switch e.Key {
		case clusterKey:
			if c, ok := e.Value.(*clustermesh.Cluster); ok {
				k.tells = c.HasLease()
			}
		case leaseKey:
			k.held, k.reign = e.Op != etcd.Delete, 0 // one of a younger version is one, too
			if l, ok := e.Value.(*clustermesh.Lease); ok {
				k.reign = l.Reign
			}
		}
	}
	away := k.away
	k.away = b.Stale
	switch {
	case !k.tells || k.held && !k.outlived(b.Reign):
		k.since = time.Time{}
		return
	case k.since.IsZero() && !away.IsZero():
		k.since = away
	case k.since.IsZero():
		k.since = now
	}
	if b.Stale.IsZero() {
		b.Stale, b.Err = k.since, ErrUnkept
	} else if k.since.Before(b.Stale) {
		b.Stale = k.since
	}
}

// outlived reports whether the lease may have outlived who held it: it is from before the
// store restarted, and who lives writes it again then. One of an older version does not.
func (k *Keeper) outlived(reign uint64) bool { return k.reign != 0 && k.reign < reign }
