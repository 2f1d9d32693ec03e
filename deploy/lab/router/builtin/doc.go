// Package builtin is the lab's own BGP router, for machines that have neither
// FRR nor BIRD: one GoBGP server, whose best paths go into the kernel's main
// table.
//
// It is the other side of Tombolo's sessions, not a part of them: it speaks
// plain GoBGP, helps a node through a graceful restart, and shares nothing
// with package bgp. It runs in a process of its own, in the router's network
// namespace. As the library has it, a neighbour whose session ended is let in
// again only after five seconds, from its second session on. A neighbour whose hold
// timer expired is dropped at once; one whose connection was cut is awaited.
//
// The flow is that of every shell: events of the library are taken in as what
// each prefix should be, what differs from the kernel is applied, and what the
// kernel refuses is tried again with backoff. Whoever connects to the router's
// socket is told the paths that it has, with their communities.
package builtin
