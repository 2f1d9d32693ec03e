// Package ipam gives the addresses of pools to services of type LoadBalancer.
//
// An Allocator is told what is stored, which pools and services there are and
// what other clusters claim; Settle decides what follows, and Changes names the
// services that have other addresses now, and the addresses of which something
// else is to be stored. It reads no clock and writes nothing: whoever owns it
// does (see clustermesh/apiserver).
//
// Everything rests on claims. A service claims the addresses that it names, and
// those that a pool chose for it. Of the claims of one address the oldest has
// it, and younger ones besides as far as they share; so nothing that is in use
// is ever taken away by what comes later, in this cluster or in another. What a
// service has it keeps, whatever becomes of its pool, until it is gone or asks
// for something else that it gets.
package ipam
