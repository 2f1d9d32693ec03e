// Package responder keeps the kernel of a node answering probes as the mesh
// wants it: who may ask, what is answered for, and on which devices.
//
// Who may ask are the nodes of the cluster and of those that it mirrors; what is
// answered for is what the store says of this node. An asker is removed only
// when everything was seen that could still want it. The devices are those that
// are configured, or else the uplinks that package uplink finds; one that goes
// and comes back is attached to again.
//
// Without this process the kernel goes on with what it was last told.
package responder
