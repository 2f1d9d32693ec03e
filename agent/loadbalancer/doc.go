// Package loadbalancer keeps the datapath's maps as the mesh wants them: it
// turns global services into frontends, Maglev tables and backends.
//
// Run owns all state; where many services change at once other cores do what is pure
// of the work ahead of it. It takes in what the watch of etcd brings, asks for every
// service that was touched what global.Merge makes of it, compares that with
// what lies in the maps, and writes the difference; a service that could not be
// written is tried again with its own backoff. What lies in the maps before the
// first write is taken over, so that a restart changes no number, and nothing
// that is pinned goes before the tables that would vouch for it are synced.
//
// One rule decides the order of all writes: no reader may ever be led to a
// backend of another service. Where a map is full a service has less than it
// should, and never who is gone.
//
//   - A new service: its backends, then its tables in free slots, then the two
//     words that say where they lie, and the frontends last.
//   - Of a service that is not for all clients: from where they may come before the
//     frontends, and its number is no other's before that is gone.
//   - A change: new backends, the tables in free slots, the word; only then the
//     old slots and the backends that were dropped are let go.
//   - A change for which no slots are free: over the old ones, each at once.
//   - A removal: the frontends first, and what they led to after them.
//   - What is let go (numbers, slots) waits until a grace period has passed, in
//     which every program that could still know it has ended. A backend's
//     generation moves with each owner of its number, so that what outlives a
//     program – a socket's storage, an affinity – is seen to be old.
//   - A verdict that something is down: the byte, and the tables behind it. That
//     it is up again: the tables, and then the byte.
//
// The package decides nothing about which endpoints serve (clustermesh/global
// does), and does not probe: whoever judges health tells it the verdict, and it
// stores the byte.
package loadbalancer
