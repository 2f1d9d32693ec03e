package apiserver

import (
	"cmp"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// memory is what a term gave out or was ordered, kept for the next one of this process in
// case the store is lost between them. While the store lives, it alone counts:
// another may have led meanwhile.
type memory struct {
	epoch      string
	sizes      map[clustermesh.ServiceName]uint32
	identities []*clustermesh.Identity
	drains     map[string]*clustermesh.Drain
	seal       *clustermesh.Seal
	gossip     *clustermesh.Keyring
	addresses  map[string]*clustermesh.Address
}

// remembered returns what a term gave out.
func (t *term) remembered() memory {
	ids, _ := t.identities.registry.All()
	return memory{epoch: t.epoch, sizes: t.sizes, identities: ids, drains: t.drains, seal: t.seal, gossip: t.gossip, addresses: t.addresses.stored()}
}

// recall takes in what was given out before the store was lost, which shows in
// its epoch. What the store has goes before.
func (t *term) recall(m memory, now time.Time) error {
	if m.epoch == "" || m.epoch == t.epoch {
		return nil
	}
	t.seal, t.gossip = cmp.Or(t.seal, m.seal), cmp.Or(t.gossip, m.gossip)
	for name, size := range m.sizes {
		t.sizes[name] = max(t.sizes[name], size)
	}
	for key, d := range m.drains {
		if t.drains[key] == nil {
			t.setDrain(key, d)
		}
	}
	t.addresses.recall(m.addresses)
	return t.identities.recall(m.identities, now)
}
