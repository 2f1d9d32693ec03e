// Package maglev builds the look-up tables by which a hash selects a backend
// (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load
// Balancer", NSDI 2016, section 3.4), with weights.
//
// Every backend has its own permutation of the slots, seeded from what it is:
// its cluster, address and port. The backends take turns, in an order that is
// also theirs and not that of the input, and each takes the next slot of its
// permutation that is free. So the same set of backends gives the same table on
// every node and in every version (a golden test holds that), equal weights get
// the same number of slots to within one, and a backend that comes or goes
// moves few slots of the others.
//
// The package is pure: no I/O, no clock, no randomness. A Builder only keeps
// its buffers between tables.
package maglev
