package health

import (
	"cmp"
	"hash/fnv"
	"slices"
)

// hashOf is the hash of a member's or a node's name, the same wherever it is
// computed.
func hashOf(parts ...string) uint64 {
	h := fnv.New64a()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return h.Sum64()
}

// mix is the weight that a watcher has for a node, of the hashes of both.
func mix(watcher, watched uint64) uint64 {
	// Neighbours' names have hashes that are alike; this spreads them (MurmurHash3).
	x := watcher ^ watched*0x9e3779b97f4a7c15
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

func weigh(watcher string, watched Name) uint64 {
	return mix(hashOf(watcher), hashOf(watched.Cluster, watched.Node))
}

// member is an agent of the own cluster, which shares the watching.
type member struct {
	name string
	hash uint64
}

func membersOf(names []string) []member {
	var out []member
	for _, n := range names {
		out = append(out, member{n, hashOf(n)})
	}
	return out
}

// watches says whether a member is among the n who weigh most for a node. A node
// of the own cluster does not watch itself. When a member comes or goes, only the
// nodes that it watches have another watcher.
func watches(me string, members []member, watched Name, n int, own bool) bool {
	who := hashOf(watched.Cluster, watched.Node)
	mine, heavier := mix(hashOf(me), who), 0
	for _, other := range members {
		if other.name == me || own && other.name == watched.Node {
			continue
		}
		if w := mix(other.hash, who); w > mine || w == mine && other.name < me {
			if heavier++; heavier == n {
				return false
			}
		}
	}
	return true
}

// nearest returns the n nodes for which a member weighs most.
func nearest(me string, of []Name, n int) []Name {
	of = slices.Clone(of)
	slices.SortFunc(of, func(a, b Name) int {
		return cmp.Or(cmp.Compare(weigh(me, b), weigh(me, a)), cmp.Compare(a.Node, b.Node))
	})
	return of[:min(n, len(of))]
}
