// Package kubernetes is the source that reads a cluster's Kubernetes API.
//
// One reflector of client-go lists and watches each kind, as a stream where the
// server has that, in protobuf but for our own kinds. An object is translated
// (package translate) as it comes out of the decoder, so that nothing of
// Kubernetes is kept but what the mesh knows. What the reflectors find goes to
// one goroutine, whose book knows what was delivered, and to the receiver as
// differences; while that is busy they gather.
//
// A deletion that was watched is delivered at once. One that only a list shows
// is not: the list may be that of an API server whose own store was lost. First
// the store is asked whether it is the one of before – the namespace
// kube-system has another UID in another store – and a list from another store,
// or one that lacks more than half of what was there, waits (source.Shrink).
// So it is with what is unknown and a list lacks, and each kind for itself.
// An API server that does not answer, or refuses, changes nothing.
//
// What is wrong with an object stands in Status, in the log, and in an Event on
// the object, which the leader alone writes. So it does with the status of our
// own kinds, see package status, and with that of services which have addresses
// from a pool, see package balancer.
package kubernetes
