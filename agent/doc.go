// Package agent is the role that runs on every node: it keeps the node's data
// path as the mesh wants it.
//
// Run claims the role, takes over the maps that are pinned, follows the
// cluster's etcd and lets agent/loadbalancer write what changes. It owns no
// state of its own but what it shows: status, services and metrics on the
// node's socket, and a leased report in the store.
//
// The data path does not need it. While no agent runs, or etcd is away, the
// programs and maps go on as they are; a new agent takes them over, and removes
// nothing before it has seen all that its cluster has.
package agent
