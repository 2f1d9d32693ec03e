// Package health finds out which nodes and clusters of the mesh are dead, and
// says so within a second.
//
// A [Machine] judges. It is plain data: it starts nothing, waits for nothing and
// looks at no clock. Step takes in what happened until a moment (replies to
// probes, what others gossip) and returns what to do (probes to send, payloads to
// gossip, verdicts that changed) and when to come back. A node is asked by each address
// family that it and this node have; each is judged by itself, and a verdict names those
// that it is about. The parts of the judgement have a file each:
//
//   - rendezvous: who watches whom
//   - watch: probes in turn, and the third silence in a row, which is a suspicion
//   - burst: the confirmation of one's own, without which nobody is believed
//   - cluster: a cluster is down when all that is watched of it is
//   - isolation: who hears nobody judges nobody
//   - life: what runs on a node, and whether that is known
//   - damping: who fell often has to stand longer before it is believed again
//
// [Health] is the shell around it: it feeds the machine with the mesh as the
// store says it is, with package probe's replies and with gossip, and hands
// verdicts on. Gossip carries suspicions, verdicts and questions of latencies;
// without it each agent watches all nodes.
package health
