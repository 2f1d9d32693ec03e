// Package gossip carries what the agents of a cluster tell each other: one
// encrypted pool a cluster, in which whatever one of them broadcasts reaches the
// others within about a tenth of a second. It judges nothing, and does not know
// what the payloads mean.
//
// Who belongs to the pool and by which keys they know each other is said by the
// cluster's etcd (roster), and kept on disk for a start without it. What happens
// on the wire is memberlist's, in three layers of ours:
//
//   - transport: one UDP and one TCP socket at the node's own address, which take
//     nothing from addresses that are no member's
//   - keys: the keyring, whose keys come and go while messages are under way
//   - mail: payloads with their sender and a number, so that each arrives once and
//     everybody passes it on
//
// A member is who said lately that it lives, or whose death was not noticed yet:
// the agent, not its node. memberlist's own opinion about that is slow on purpose
// and nobody's verdict hangs on it; an agent that leaves in order says so.
package gossip
