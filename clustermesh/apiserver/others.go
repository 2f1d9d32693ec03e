package apiserver

import (
	"strings"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/etcd"
)

// othersWait is how long a term gives out no new address of the mesh because it does
// not know what a cluster claims: one that is out of reach and was never mirrored
// into this store, or that is too old to claim any. One that is away for longer must
// not stop the others.
const othersWait = 30 * time.Second

// others is whose claims on addresses of the mesh are known, by cluster.
type others struct {
	// told: the mirror has all that the cluster claims; refused: it may not join, so
	// that what it claims does not count.
	told, refused map[string]bool
}

// hear takes in how far the mirror of a cluster is.
func (o *others) hear(e etcd.Event[clustermesh.Object]) {
	if !strings.HasSuffix(e.Key, "/"+string(clustermesh.KindAddresses)) && !strings.HasSuffix(e.Key, "/"+string(clustermesh.KindState)) {
		return
	}
	key, err := clustermesh.ParseKey(e.Key)
	switch {
	case err != nil:
	case key.Kind == clustermesh.KindSynced && (e.Op == etcd.Synced || e.Op == etcd.Unsynced):
		o.told[key.Cluster] = e.Op == etcd.Synced
	case key.Kind == clustermesh.KindState && (e.Op == etcd.Put || e.Op == etcd.Delete):
		s, ok := e.Value.(*clustermesh.MirrorState)
		o.refused[key.Cluster] = ok && s.Phase == clustermesh.MirrorRefused
	}
}

// othersKnown says whether the claims of all peers are known, or were waited for
// long enough.
func (t *term) othersKnown(now time.Time) bool {
	a, o := t.addresses, &t.catalog.others
	if !t.remote {
		return false
	}
	if a.othersBy.IsZero() {
		a.othersBy = now.Add(othersWait)
	}
	if !now.Before(a.othersBy) {
		return true
	}
	for _, p := range t.peers {
		if !o.told[p.Name] && !o.refused[p.Name] {
			return false
		}
	}
	return !t.catalog.anyUnknown(source.ClusterPeer)
}
