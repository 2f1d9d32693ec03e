package apiserver

import (
	"crypto/ed25519"
	"crypto/rand"
	"slices"

	"tombolo.io/tombolo/clustermesh"
)

// introduce stages what the cluster says of itself: what it is configured to be,
// and whom it peers with. Its nodes answer the probes of nobody else, which must
// not be taken for their death.
func (t *term) introduce() {
	self := *t.cluster
	self.Capabilities = append(slices.Clone(self.Capabilities), clustermesh.CapabilityPeers, clustermesh.CapabilityExports, clustermesh.CapabilityLease)
	slices.Sort(self.Capabilities)
	self.Capabilities = slices.Compact(self.Capabilities)
	self.Peers = nil
	for _, p := range t.peers {
		self.Peers = append(self.Peers, p.Name)
	}
	slices.Sort(self.Peers)
	self.Seal = t.sealed().Public()
	key := clustermesh.KeyOf(clustermesh.Export, &self).String()
	delete(t.invalid, key)
	t.put(key, &self, key)
}

// sealed returns the cluster's seal, which is made and staged if there is none. A
// new one is known to peers only when they mirror it: so it is kept for as long as
// store or process remember it.
func (t *term) sealed() *clustermesh.Seal {
	if t.seal == nil {
		t.seal = &clustermesh.Seal{Seed: make(clustermesh.Secret, ed25519.SeedSize)}
		rand.Read(t.seal.Seed) // never fails: crypto/rand ends the program instead
	}
	key := clustermesh.KeyOf(clustermesh.Private, t.seal).String()
	delete(t.invalid, key)
	t.put(key, t.seal, key)
	return t.seal
}
