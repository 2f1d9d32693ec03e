package clustermesh

import "time"

// Synced is the marker of a table: its presence says that the table's writer
// has made a complete pass. Readers use a table only while its marker names
// the epoch that the store has now; until then they keep what they know.
type Synced struct {
	// Source names the writer's pass: another value means another pass.
	Source string
	// Epoch is the store's epoch in which the pass was made.
	Epoch string
	// Count is the number of objects in the table.
	Count int
}

// MirrorState is what the mirror of a peer says of itself.
type MirrorState struct {
	// Phase is one word: Connecting, Synced, Stale, Refused.
	Phase string
	// Reason is for people; empty when Synced.
	Reason string
	// Epoch and Revision are the peer's, as far as they are mirrored.
	Epoch    string
	Revision int64
	// Since is when the phase began.
	Since time.Time
	// Cluster is what the peer last said of itself.
	Cluster Cluster
}

// ProcessStatus is what a process reports of itself under status/<role>/<node>.
type ProcessStatus struct {
	Role, Node string
	Version    string
	Started    time.Time
	// Health is OK, Degraded or Stopped; Reasons say why it is not OK.
	Health  string
	Reasons []string
}
