package census

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"fmt"
	"maps"
	"net/netip"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
)

// roster is who may ask and be asked. It is immutable.
type roster struct {
	seed []byte
	own  tls.Certificate
	// keys are those of the clusters' seals, by the addresses of their nodes.
	keys map[netip.Addr]ed25519.PublicKey
}

// kinds are what of the mesh a census looks at.
var kinds = []clustermesh.Kind{
	clustermesh.KindCluster, clustermesh.KindSeal, clustermesh.KindNodes, clustermesh.KindPeers, clustermesh.KindState,
}

// enroll makes the roster of a mesh; nil while the own cluster's seal is not known.
func enroll(v *view.View) (*roster, error) {
	seal, self := v.Seal(), v.Self()
	if seal == nil || self == nil {
		return nil, nil
	}
	keys := map[netip.Addr]ed25519.PublicKey{}
	add := func(cluster string, key ed25519.PublicKey) {
		if len(key) != ed25519.PublicKeySize {
			return
		}
		for n := range v.Nodes(cluster) {
			for _, a := range n.Addresses {
				keys[a] = key
			}
		}
	}
	for name := range v.Mirrors() {
		if c := v.Cluster(name); c != nil {
			add(name, c.Seal)
		}
	}
	add(view.Ours, seal.Public()) // last: our addresses are ours
	return newRoster(seal.Seed, keys)
}

func newRoster(seed []byte, keys map[netip.Addr]ed25519.PublicKey) (*roster, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("the cluster's seal has %d bytes, want %d", len(seed), ed25519.SeedSize)
	}
	own, err := certify(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		return nil, err
	}
	return &roster{seed: seed, own: own, keys: keys}, nil
}

func (r *roster) equal(o *roster) bool {
	if r == nil || o == nil {
		return r == o
	}
	return bytes.Equal(r.seed, o.seed) &&
		maps.EqualFunc(r.keys, o.keys, func(a, b ed25519.PublicKey) bool { return a.Equal(b) })
}

// keptRoster is a roster on disk, for an agent that starts while the store is away: the
// others may ask it nevertheless.
type keptRoster struct {
	Seed []byte                           `json:"seed"`
	Keys map[netip.Addr]ed25519.PublicKey `json:"keys"`
}
