package global

import "tombolo.io/tombolo/clustermesh"

// place is where the clients of a port are, and what they prefer. The zero
// value is no place, and prefers nothing.
type place struct {
	prefers    clustermesh.Distribution
	node, zone string
}

// reach is how far from a place an endpoint may be.
type reach uint8

const (
	anywhere reach = iota
	sameZone
	sameNode
)

// has reports whether a candidate is within reach. The name of a node means
// something in its own cluster only; a zone is the same one in all clusters
// that know it by that name.
func (at place) has(c *candidate, within reach) bool {
	switch within {
	case sameNode:
		return c.m.own && at.node != "" && c.Node == at.node
	case sameZone:
		return at.zone != "" && c.Zone == at.zone
	}
	return true
}

// nearest returns the shortest reach that is preferred and has a usable
// candidate which is there in full: one that comes back from a drain is not to
// get all its neighbours' clients at once. As in Kubernetes nodes count only
// while every usable candidate says on which it is, and zones likewise.
func (at place) nearest(cs []candidate, resort int) reach {
	if at.prefers == clustermesh.Anywhere {
		return anywhere
	}
	var onNode, inZone, withoutNode, withoutZone bool
	for i := range cs {
		c := &cs[i]
		if !c.usable(resort) {
			continue
		}
		if c.kept == Whole {
			onNode, inZone = onNode || at.has(c, sameNode), inZone || at.has(c, sameZone)
		}
		withoutNode, withoutZone = withoutNode || c.Node == "", withoutZone || c.Zone == ""
	}
	switch {
	case at.prefers == clustermesh.PreferSameNode && onNode && !withoutNode:
		return sameNode
	case inZone && !withoutZone:
		return sameZone
	}
	return anywhere
}
