// Package probe asks other nodes whether their data path lives, and takes in
// what comes back. It judges nothing.
//
// A [Prober] sends from the node's own address, because that is by which the
// responders of the others (package bpf) know who may ask. Each probe has a
// nonce of its own; a reply counts only if it repeats the nonce of a probe that
// is still waited for, comes from the address and port that were asked, and
// says that this address was asked.
//
// When a reply arrived is the kernel's word, not the moment at which somebody
// found time to read it: an agent that stood still for two seconds finds the
// replies in the socket with the times at which they came. So whoever judges
// drains first and then asks what is missing, and never the other way round;
// [Batch].Through says up to when nothing can be missing any more.
package probe
