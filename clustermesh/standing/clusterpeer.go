package standing

import "tombolo.io/tombolo/clustermesh"

// clusterPeer says how another cluster stands: whether it may take part, and
// whether what it shares is mirrored.
func (m *Mesh) clusterPeer(p *clustermesh.Peer) Object {
	out := Object{Kind: ClusterPeer, Name: p.Name, Stored: p}
	cluster := m.Clusters[p.Name]
	state := m.Mirrors[p.Name]
	if state == nil {
		state = &clustermesh.MirrorState{Phase: clustermesh.MirrorConnecting, Reason: "it was not asked yet"}
	}
	if cluster == nil && state.Cluster.ID != 0 {
		cluster = &state.Cluster // of one that was refused
	}
	if cluster != nil {
		out.ClusterID, out.PodCIDRs, out.NodeCIDRs, out.ServiceCIDRs = cluster.ID, cluster.PodCIDRs, cluster.NodeCIDRs, cluster.ServiceCIDRs
	}
	out.Conditions = []Condition{admitted(state, cluster != nil), mirrored(state)}
	return out
}

// admitted says whether the cluster may take part: what it says of itself fits
// its name, and contradicts no other.
func admitted(s *clustermesh.MirrorState, known bool) Condition {
	switch {
	case s.Phase == clustermesh.MirrorRefused:
		return Condition{Accepted, False, string(s.Phase), s.Reason}
	case !known:
		return Condition{Accepted, Unknown, "Unknown", "the cluster did not say yet who it is"}
	}
	return Condition{Accepted, True, "Admitted", "its name, its number and its networks are its own"}
}

// mirrored says whether what the cluster shares is here, with the words of
// `tombolo clusters`.
func mirrored(s *clustermesh.MirrorState) Condition {
	c := Condition{Ready, False, string(s.Phase), s.Reason}
	switch s.Phase {
	case clustermesh.MirrorSynced:
		c.State = True
		if c.Message == "" {
			c.Message = "what it shares is mirrored"
		}
	case clustermesh.MirrorStale:
		c.Message = "what was mirrored stays, and may be old: " + s.Reason
	}
	return c
}
