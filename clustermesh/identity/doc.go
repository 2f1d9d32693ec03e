// Package identity turns the labels of workloads into numbers: which labels
// count, which number a set of labels has, and which address has which number.
//
// It is plain data, owned by the one goroutine of the elected leader. In each
// term the leader makes a Registry, lets it Learn what the store and the
// agents know, and feeds it namespaces and pods; All and Changes give back the
// objects to store. Nothing here reads a clock, a store or Kubernetes.
//
// A number means one set of labels. It is given to another set only after
// nobody used it for the grace time, all of which it stayed in the store: so
// what a new leader finds there is all that may be in use, besides what agents
// keep after a store was lost. A set of labels is given a number that its own
// hash prefers, so that most sets have their old number again even where
// nobody remembers.
package identity
