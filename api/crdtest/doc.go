// Package crdtest holds what tests need to try the rules of Tombolo's kinds: a
// table of good and bad objects (rows/), and the schemas of deploy/crds as an
// API server applies them, without one. The same table is tried against the
// schemas, the directory of manifests and a real kube-apiserver, so that the
// three cannot disagree on it.
//
// Only tests import this package: the libraries of the API server that it
// needs add 8.6 MB to a program, 20 ms to its start and 5 MB to its memory,
// which no agent should pay for rules that package translate tells as well.
package crdtest
