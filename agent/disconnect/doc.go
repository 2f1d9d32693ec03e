// Package disconnect ends connections to backends that died, so that clients
// connect anew at once and do not wait for their own timeouts, and those that are
// left when a drained backend's time is over.
//
// A socket that connect() led to a backend is noted in the data path's maps by its
// cookie; what finds no room there is kept in the socket's own storage, over which the
// kernel lets us walk. Whoever finds out that something is down stores that in the maps,
// too (agent/loadbalancer), and calls [Disconnector.Wake]. The rest follows from the
// maps alone ([doomed]), so that it is the same for an agent that was restarted in
// between: which sockets have a backend that is down, by its cluster or its node,
// while another backend of their service is up. Where none is, a connection is
// left: it may come back, and a new one would be led to the same places.
// A backend that has ended, because it is gone or had its time to drain, keeps no
// connection in any case.
//
// The kernel destroys a socket (SOCK_DESTROY of sock_diag) by its addresses and
// cookie, in its network namespace; the namespaces are found through the processes
// that are in them. A connection that goes to the same address without us is not in
// the maps and is left alone.
package disconnect
