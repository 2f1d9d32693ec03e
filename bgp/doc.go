// Package bgp is the speaker: it advertises a node's pod prefixes and the
// LoadBalancer IPs that the node can serve to the node's routers.
//
//	etcd ─► collector ─► decide ─► peering of each router: library ◄─ session ─► router
//	                        └────► unreachable routes of this node
//
// The collector merges what the store says into a picture; decide, which is
// pure, makes of it what each router should have; and the loop, the one
// goroutine that owns the state, applies the difference. A router has a GoBGP
// server of its own (library.go), whose RIB is what that router should have, and
// a session (package session) that owns the connection.
//
// Nothing is withdrawn because something was silent. A speaker keeps its last
// complete picture on disk and starts from it; the store's picture takes its
// place when every table is synced; and a session is opened only when its RIB
// is whole, so that the routers, which keep the routes of a speaker that is away
// (RFC 4724), find all of them again.
package bgp
