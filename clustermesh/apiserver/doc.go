// Package apiserver brings the objects of a cluster into its etcd: what
// `tombolo apiserver` runs.
//
// A source delivers the cluster's objects, and the catalog keeps them, in every
// API server. One of them leads at a time, and it alone writes export/,
// private/ and mirror/. For each unit – one object of the source – that a
// change touches, the leader asks placement where it lies and what it says,
// stages that, and drops what the unit no longer wants; a table's size, a pod's
// identity and a service's load-balancer address are given out on the way. A term begins with a pass over
// everything: what the store has and nobody wants is swept, unless that is
// much of it, the source is not complete, or parts of it cannot be read. Only
// when nothing of a table is left to sweep is its marker written, which says
// that the table is complete.
//
// Losing the lead, or the store, stops the writing and nothing else: what is
// stored stays true for its readers.
package apiserver
