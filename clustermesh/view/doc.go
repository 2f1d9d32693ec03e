// Package view is one reader's picture of the mesh: what its cluster exports
// and keeps private, and what the mirrors hold of the other clusters.
//
// Watch follows the store and sends batches; the owner of a View applies them
// and is told which services, nodes, clusters and so on they touched. For each
// touched service it asks for a global.Input, which it merges. A View is plain
// data with one owner: it starts nothing, waits for nothing and has no lock.
//
// What the view holds is what the etcd package vouches for: while a table's
// marker does not vouch for it, nothing of the table arrives, and the view
// keeps what it had. Synced says whether that is so.
//
// Every object is held once, as it was decoded; an Input refers to it. Names
// that thousands of endpoints share (nodes, zones, ports) are shared strings.
package view
