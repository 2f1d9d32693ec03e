package view

import (
	"iter"
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
)

// Ours names the reader's own cluster where a method asks for a cluster by its
// name in the mesh.
const Ours = ""

// Batch is what Watch sends and Apply takes.
type Batch = etcd.Batch[clustermesh.Object]

// View is the mesh as one reader knows it.
type View struct {
	node     string
	places   map[origin]*place
	services map[clustermesh.ServiceName][]*part
	peers    map[string]*clustermesh.Peer
	// peersKnown is set once peers were all seen.
	peersKnown bool

	// drained is made of the drains of all places when it is asked for; nil since
	// one of them changed.
	drained *drains

	// imports are the services that all clusters offer.
	imports imports

	seal     *clustermesh.Seal
	bgpPeers map[string]*clustermesh.BGPPeer
	adverts  map[string]*clustermesh.BGPAdvertisement
	invalid  map[string]error
	stale    time.Time
	err      error
	// away: the store was stale before the batch that is taken in, or is with it.
	away     bool
	revision int64
	taken    uint64
}

// origin is where objects lie: an area, and in the mirror area the cluster.
type origin struct {
	area    clustermesh.Area
	cluster string
}

// ours are the places of the reader's own cluster.
var ours = []origin{{area: clustermesh.Export}, {area: clustermesh.Private}}

// origins returns where the objects of a cluster lie.
func origins(cluster string) []origin {
	if cluster == Ours {
		return ours
	}
	return []origin{{clustermesh.Mirror, cluster}}
}

// place is what lies in export/, in private/ or in one mirror/<cluster>/, apart
// from the services, which are indexed by name over all places.
type place struct {
	origin  origin
	cluster *clustermesh.Cluster
	state   *clustermesh.MirrorState
	// stated is the store's revision at which the state was written. doubted: our store
	// was stale since, so that the mirror may not have been heard for as long.
	stated  int64
	doubted bool
	// listings counts how often the mirror was listed anew.
	listings   uint64
	nodes      map[string]entry[*clustermesh.Node]
	identities map[clustermesh.IdentityID]entry[*clustermesh.Identity]
	endpoints  map[netip.Addr]entry[*clustermesh.EndpointIdentity]
	drains     map[string]*clustermesh.Drain // by kind/name
	synced     map[clustermesh.Kind]bool
	// parts counts the services of which this place has a part.
	parts int
}

// entry is an object and the store's revision at which it was written. Of an
// object that lies in export/ and in private/, because it is being moved, the
// younger counts.
type entry[T any] struct {
	value    T
	revision int64
}

// New returns an empty view for a node; node is empty for a reader that is none.
func New(node string) *View {
	return &View{
		node:     node,
		places:   map[origin]*place{},
		services: map[clustermesh.ServiceName][]*part{},
		imports:  newImports(),
		peers:    map[string]*clustermesh.Peer{},
		bgpPeers: map[string]*clustermesh.BGPPeer{},
		adverts:  map[string]*clustermesh.BGPAdvertisement{},
		invalid:  map[string]error{},
	}
}

// Self returns what the reader's own cluster says of itself, nil while that is
// not known.
func (v *View) Self() *clustermesh.Cluster { return v.Cluster(Ours) }

// Seal returns our own cluster's, nil while it is not known.
func (v *View) Seal() *clustermesh.Seal { return v.seal }

// Cluster returns what a cluster says of itself, nil while that is not known.
func (v *View) Cluster(cluster string) *clustermesh.Cluster {
	if p := v.places[origins(cluster)[0]]; p != nil && !v.removed(cluster) {
		return p.cluster
	}
	return nil
}

// Mirror returns what the mirror of a cluster says of itself, or nil.
func (v *View) Mirror(cluster string) *clustermesh.MirrorState {
	if p := v.places[origin{clustermesh.Mirror, cluster}]; p != nil && !v.removed(cluster) {
		return p.state
	}
	return nil
}

// Follows reports whether what the view has of a cluster follows what that says: our
// store is not stale, and the mirror is synced and was heard since our store was. What
// a store says of a mirror may be from before it was away itself.
func (v *View) Follows(cluster string) bool {
	if cluster == Ours || !v.stale.IsZero() {
		return v.stale.IsZero()
	}
	p := v.places[origin{clustermesh.Mirror, cluster}]
	return p != nil && !v.removed(cluster) && p.state != nil && p.state.Phase == clustermesh.MirrorSynced && !p.doubted
}

// Listings counts how often the mirror of a cluster was seen to be listed anew: what it
// says then is not older than that.
func (v *View) Listings(cluster string) uint64 {
	if p := v.places[origin{clustermesh.Mirror, cluster}]; p != nil {
		return p.listings
	}
	return 0
}

// Mirrors returns the names of the clusters of which something is mirrored,
// those that were removed aside.
func (v *View) Mirrors() iter.Seq[string] {
	return func(yield func(string) bool) {
		for o := range v.places {
			if o.area == clustermesh.Mirror && !v.removed(o.cluster) && !yield(o.cluster) {
				return
			}
		}
	}
}

// Synced reports whether tables of a cluster are synced at this moment: the
// view holds all that they have and follows what changes. Without kinds it asks
// for all tables but those for which a cluster of an older version does not
// vouch.
func (v *View) Synced(cluster string, kinds ...clustermesh.Kind) bool {
	asked := false
	for _, o := range origins(cluster) {
		for _, k := range clustermesh.Tables(o.area) {
			if len(kinds) > 0 && !slices.Contains(kinds, k) || len(kinds) == 0 && k.Later() {
				continue
			}
			asked = true
			if p := v.places[o]; p == nil || !p.synced[k] || v.removed(cluster) {
				return false
			}
		}
	}
	return asked
}

// Stale returns since when what the store says may be old and why: it is out of reach,
// or no API server of our cluster keeps it up to date (ErrUnkept); zero and nil while
// it is not.
func (v *View) Stale() (time.Time, error) { return v.stale, v.err }

// Revision returns the store's revision up to which the view has seen everything.
func (v *View) Revision() int64 { return v.revision }

// Taken counts the batches that were taken in. Readers of one Share have the same ones, so
// it tells how far one is beside another.
func (v *View) Taken() uint64 { return v.taken }

// Invalid returns the keys whose present value does not decode, and why. The
// view keeps the last good value of each.
func (v *View) Invalid() map[string]error { return v.invalid }

// Peers returns the clusters that this one is configured to mirror, by name.
func (v *View) Peers() map[string]*clustermesh.Peer { return v.peers }

// BGPPeers returns the routers to peer with, by name.
func (v *View) BGPPeers() map[string]*clustermesh.BGPPeer { return v.bgpPeers }

// BGPAdvertisements returns what is to be advertised, by name.
func (v *View) BGPAdvertisements() map[string]*clustermesh.BGPAdvertisement { return v.adverts }
