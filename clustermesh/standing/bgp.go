package standing

import (
	"fmt"
	"slices"
	"strings"

	"tombolo.io/tombolo/clustermesh"
)

// maxNamed bounds how many nodes a message names.
const maxNamed = 3

// stored is what is said of an object that a source took and that is stored.
var stored = Condition{Accepted, True, "Accepted", "it is taken as it is written"}

// bgpPeer says how many of the nodes that are to peer with a router do.
func (m *Mesh) bgpPeer(p *clustermesh.BGPPeer) Object {
	out := Object{Kind: BGPPeer, Name: p.Name, Stored: p}
	speakers := map[string]*clustermesh.ProcessStatus{}
	for _, s := range m.Speakers {
		speakers[s.Node] = s
	}
	var trouble []string
	picked := 0
	for _, n := range m.Nodes {
		if !p.NodeSelector.Matches(n.Labels) {
			continue
		}
		picked++
		s := speakers[n.Name]
		if s == nil {
			continue
		}
		out.Nodes++
		if why := session(s, p.Name); why != "" {
			trouble = append(trouble, n.Name+": "+why)
		} else {
			out.Established++
		}
	}
	slices.Sort(trouble)
	out.Conditions = []Condition{stored, established(&out, picked, trouble)}
	return out
}

// session says why a speaker has no established session with a router, or
// nothing.
func session(s *clustermesh.ProcessStatus, peer string) (why string) {
	i := slices.IndexFunc(s.Sessions, func(s clustermesh.BGPSession) bool { return s.Peer == peer })
	switch {
	case i < 0:
		return "its speaker has no session with it yet"
	case s.Sessions[i].Established:
		return ""
	}
	return strings.TrimSuffix(s.Sessions[i].State+": "+s.Sessions[i].Reason, ": ")
}

// established is the condition Ready of a BGPPeer, some of whose picked nodes
// may run no speaker.
func established(o *Object, picked int, trouble []string) Condition {
	c := Condition{Ready, False, "NotEstablished", fmt.Sprintf("established on %d of %d nodes", o.Established, o.Nodes)}
	switch {
	case picked == 0:
		return Condition{Ready, False, "NoNode", "the node selector picks no node of the cluster"}
	case o.Nodes == 0:
		return Condition{Ready, False, "NoSpeaker", fmt.Sprintf("no speaker runs on the %d nodes that are to peer, or none reports", picked)}
	case len(trouble) == 0:
		c.State, c.Reason = True, "Established"
	case o.Established > 0:
		c.Reason = "PartlyEstablished"
	}
	if without := picked - o.Nodes; without > 0 {
		c.Message += fmt.Sprintf("; no speaker reports on %d more", without)
	}
	for i, t := range trouble {
		if i == maxNamed {
			c.Message += fmt.Sprintf("; and %d more", len(trouble)-maxNamed)
			break
		}
		c.Message += "; " + t
	}
	c.Message = clustermesh.Line(c.Message)
	return c
}

// advertisement says whether an advertisement can reach anybody.
func (m *Mesh) advertisement(a *clustermesh.BGPAdvertisement) Object {
	c := stored
	var missing []string
	for _, name := range a.Peers {
		if !slices.ContainsFunc(m.BGPPeers, func(p *clustermesh.BGPPeer) bool { return p.Name == name }) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		c.Reason = "PeerMissing"
		c.Message = "it is taken, and there is no BGPPeer " + strings.Join(missing[:min(len(missing), maxNamed)], ", ")
		if more := len(missing) - maxNamed; more > 0 {
			c.Message += fmt.Sprintf(" and %d more", more)
		}
	}
	return Object{Kind: BGPAdvertisement, Name: a.Name, Stored: a, Conditions: []Condition{c}}
}
