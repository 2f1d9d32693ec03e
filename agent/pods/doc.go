// Package pods knows which pods run on this node, from the node itself and not
// from any store: other clusters ask for it while their mirror of this one is
// stale.
//
// A [Source] says which pods run: [Directory], a directory with a file for each
// pod (in a lab, the lab keeps it); the container runtime, in package cri; the one
// of both that is there, [Either]; or [None]. [Node] follows it, hands out an
// immutable [Set], and raises the node's endpoint epoch, which replies to probes
// carry, whenever another pod or address lives here than before.
//
// What cannot be read is not known to be gone: a source that is missing, cannot be
// read or is empty leaves everything. What was known is kept on disk, so that a
// restart neither forgets it nor misses what changed meanwhile.
package pods
