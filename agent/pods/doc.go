// Package pods knows which pods run on this node, from the node itself and not
// from any store: other clusters ask for it while their mirror of this one is
// stale.
//
// A directory has a file for each pod, which the container runtime's side keeps
// (in a lab, the lab). [Node] reads it, hands out an immutable [Set], and raises
// the node's endpoint epoch, which replies to probes carry, whenever another pod
// or address lives here than before.
//
// What cannot be read is not known to be gone: a bad file leaves what was known
// of its pod, and a directory that is missing, unreadable or empty leaves
// everything. What was known is kept on disk, so that a restart neither forgets
// it nor misses what changed meanwhile.
package pods
