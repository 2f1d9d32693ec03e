package health

import (
	"cmp"
	"hash/fnv"
	"slices"
)

// weigh is the weight that a watcher has for a node: the same wherever it is
// computed.
func weigh(watcher string, watched Name) uint64 {
	h := fnv.New64a()
	h.Write([]byte(watcher + "\x00" + watched.Cluster + "\x00" + watched.Node))
	// FNV leaves names that differ in the last letter close together.
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// watches says whether a member is among the n who weigh most for a node. A node
// does not watch itself. When a member comes or goes, only the nodes that it
// watches have another watcher.
func watches(me string, members []string, watched Name, n int, own bool) bool {
	mine, heavier := weigh(me, watched), 0
	for _, other := range members {
		if other == me || own && other == watched.Node {
			continue
		}
		if w := weigh(other, watched); w > mine || w == mine && other < me {
			heavier++
		}
	}
	return heavier < n
}

// nearest returns the n nodes for which a member weighs most.
func nearest(me string, of []Name, n int) []Name {
	of = slices.Clone(of)
	slices.SortFunc(of, func(a, b Name) int {
		return cmp.Or(cmp.Compare(weigh(me, b), weigh(me, a)), cmp.Compare(a.Node, b.Node))
	})
	return of[:min(n, len(of))]
}
