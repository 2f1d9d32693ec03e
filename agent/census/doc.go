// Package census asks other nodes which of their pods still live, and answers the
// same, over the data path: for clusters whose mirror is stale, while probes show
// that something changed there.
//
// The parts have a file each:
//
//   - wire: a question and its answer, as bytes
//   - seal: TLS by the seals of clusters, without any other authority
//   - roster: whose node an address is, and by which key it proves that
//   - serve: answers, to nodes of the mesh alone, bounded in size, rate and number
//   - ask: asks one node
//   - desk: *pure*, which node is to be asked, and what is withdrawn by its answer
//   - memory: whom there is to ask about what, kept for a restart without the store
//   - withdrawn: what is withdrawn, kept for any restart
//   - census: the shell around them
//
// Only an answer withdraws: no silence, no refusal and nothing malformed does. When
// a mirror is fresh again it rules, and what was withdrawn ends.
package census
