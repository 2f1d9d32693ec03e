package apiserver

import (
	"slices"

	"tombolo.io/tombolo/clustermesh"
)

// introduce stages what the cluster says of itself: what it is configured to be,
// and whom it peers with. Its nodes answer the probes of nobody else, which must
// not be taken for their death.
func (t *term) introduce() {
	self := *t.cluster
	self.Capabilities = append(slices.Clone(self.Capabilities), clustermesh.CapabilityPeers)
	slices.Sort(self.Capabilities)
	self.Capabilities = slices.Compact(self.Capabilities)
	self.Peers = nil
	for _, p := range t.peers {
		self.Peers = append(self.Peers, p.Name)
	}
	slices.Sort(self.Peers)
	key := clustermesh.KeyOf(clustermesh.Export, &self).String()
	delete(t.invalid, key)
	t.put(key, &self, key)
}
