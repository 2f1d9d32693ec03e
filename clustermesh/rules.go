package clustermesh

import (
	"crypto/ed25519"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// NamespaceLabel is what precedes the key of a namespace's label among the
// labels of an Identity; the pod's own labels stand as they are.
const NamespaceLabel = "namespace:"

func (cl *Cluster) check(c *checker) {
	c.label("name", cl.Name)
	if cl.ID < MinClusterID || cl.ID > MaxClusterID {
		c.fail("id", cl.ID, "must be %d to %d", MinClusterID, MaxClusterID)
	}
	c.prefixes("pod CIDRs", cl.PodCIDRs, 256)
	c.prefixes("node CIDRs", cl.NodeCIDRs, 256)
	c.prefixes("service CIDRs", cl.ServiceCIDRs, 256)
	c.sortedLabels("capabilities", cl.Capabilities, 256)
	c.sortedLabels("peers", cl.Peers, MaxClusterID)
	if len(cl.Seal) > 0 {
		c.size("seal", len(cl.Seal), ed25519.PublicKeySize)
	}
}

func (n *Node) check(c *checker) {
	c.subdomain("name", n.Name)
	c.addresses("addresses", n.Addresses, 64)
	c.prefixes("pod CIDRs", n.PodCIDRs, 64)
	c.value("zone", n.Zone)
	c.labels("labels", n.Labels)
	if n.Gossip != (netip.AddrPort{}) {
		c.address("gossip", n.Gossip.Addr())
		c.nonZero("gossip port", n.Gossip.Port())
	}
	c.token("boot id", n.BootID)
}

func (id IdentityID) check(c *checker, field string) {
	if n := id.Cluster(); n < MinClusterID || n > MaxClusterID || id.Local() == 0 {
		c.fail(field, uint32(id), "must be a cluster id (%d to %d) << 16 | a number that is not zero", MinClusterID, MaxClusterID)
	}
}

func (i *Identity) check(c *checker) {
	i.ID.check(c, "id")
	if len(i.Labels) == 0 {
		c.fail("labels", i.Labels, "must not be empty")
	}
	c.labelsOf("labels", i.Labels, func(k, v string) string {
		if !isQualified(strings.TrimPrefix(k, NamespaceLabel)) {
			return notKey
		}
		// The name of a service account, unlike a label's value, may be long.
		if v != "" && !isNamePart(v) && !isSubdomain(v) {
			return notValue
		}
		return ""
	})
}

func (e *EndpointIdentity) check(c *checker) {
	c.address("address", e.Address)
	e.Identity.check(c, "identity")
	c.token("pod UID", e.PodUID)
	if e.Node != "" {
		c.subdomain("node", e.Node)
	}
	if ns, name, _ := strings.Cut(e.Pod, "/"); e.Pod != "" && !(isLabel(ns) && isSubdomain(name)) {
		c.fail("pod", e.Pod, "must be namespace/name")
	}
}

func (s *Synced) check(c *checker) {
	c.required("source", s.Source)
	c.required("epoch", s.Epoch)
	if s.Count < 0 {
		c.fail("count", s.Count, "must not be negative")
	}
}

func (m *MirrorState) check(c *checker) {
	if !slices.Contains([]MirrorPhase{MirrorConnecting, MirrorSynced, MirrorStale, MirrorRefused}, m.Phase) {
		c.fail("phase", string(m.Phase), "must be Connecting, Synced, Stale or Refused")
	}
	c.text("reason", m.Reason)
	c.token("epoch", m.Epoch)
	if m.Revision < 0 {
		c.fail("revision", m.Revision, "must not be negative")
	}
	if !m.Cluster.isZero() {
		c.enter("cluster", -1)
		m.Cluster.check(c)
		c.leave()
	}
}

func (cl *Cluster) isZero() bool {
	return cl.Name == "" && cl.ID == 0 && len(cl.PodCIDRs)+len(cl.NodeCIDRs)+len(cl.ServiceCIDRs)+len(cl.Capabilities)+len(cl.Peers)+len(cl.Seal) == 0
}

func (p *ProcessStatus) check(c *checker) {
	c.label("role", p.Role)
	c.subdomain("node", p.Node)
	c.text("version", p.Version)
	if !slices.Contains([]Health{HealthOK, HealthDegraded, HealthStopped}, p.Health) {
		c.fail("health", string(p.Health), "must be OK, Degraded or Stopped")
	}
	if p.Health == HealthOK && len(p.Reasons) > 0 {
		c.fail("reasons", len(p.Reasons), "must be none when the health is OK")
	}
	c.count("reasons", len(p.Reasons), 100)
	for _, r := range p.Reasons[:min(len(p.Reasons), 100)] {
		c.text("reasons", r)
	}
	c.token("epoch", p.Epoch)
	c.count("gossip keys", len(p.GossipKeys), 2*MaxGossipKeys)
	for _, id := range p.GossipKeys[:min(len(p.GossipKeys), 2*MaxGossipKeys)] {
		c.required("gossip keys", id)
	}
	c.count("identities", len(p.Identities), MaxReportedIdentities)
	for i := range p.Identities[:min(len(p.Identities), MaxReportedIdentities)] {
		p.Identities[i].check(c)
		if i > 0 && p.Identities[i].ID <= p.Identities[i-1].ID {
			c.fail("identities", uint32(p.Identities[i].ID), "must be in the order of their numbers, each once")
		}
	}
	c.count("drains", len(p.Drains), MaxReportedDrains)
	for i, n := range p.Drains[:min(len(p.Drains), MaxReportedDrains)] {
		c.enter("drains", i)
		c.label("cluster", n.Cluster)
		n.What.check(c, n.Name)
		if i > 0 && n.Compare(p.Drains[i-1].DrainRef) <= 0 {
			c.fail("name", n.Name, "must be in the order of cluster, kind and name, each once")
		}
		c.leave()
	}
	c.count("sessions", len(p.Sessions), MaxReportedSessions)
	for i, s := range p.Sessions[:min(len(p.Sessions), MaxReportedSessions)] {
		c.enter("sessions", i)
		c.subdomain("peer", s.Peer)
		c.required("state", s.State)
		c.text("reason", s.Reason)
		if i > 0 && s.Peer <= p.Sessions[i-1].Peer {
			c.fail("peer", s.Peer, "must be in the order of names, each once")
		}
		c.leave()
	}
}

func (p *Peer) check(c *checker) {
	c.label("name", p.Name)
	if len(p.Endpoints) == 0 {
		c.fail("endpoints", p.Endpoints, "must not be empty")
	}
	c.count("endpoints", len(p.Endpoints), 16)
	distinct(c, "endpoints", p.Endpoints[:min(len(p.Endpoints), 16)])
	for _, e := range p.Endpoints[:min(len(p.Endpoints), 16)] {
		u, err := url.Parse(e)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Port() == "" || e != "https://"+u.Host {
			c.fail("endpoints", e, "must be https://HOST:PORT and no more")
		}
	}
	c.absolute("TLS CA file", p.TLS.CA)
	c.absolute("TLS certificate file", p.TLS.Cert)
	c.absolute("TLS key file", p.TLS.Key)
}
