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

// MirrorPhase is how far a mirror is, in one word.
type MirrorPhase string

// The phases of a mirror.
const (
	MirrorConnecting MirrorPhase = "Connecting" // never synced so far
	MirrorSynced     MirrorPhase = "Synced"
	MirrorStale      MirrorPhase = "Stale"   // was synced; the connection is lost, or nobody keeps the peer's export
	MirrorRefused    MirrorPhase = "Refused" // the peer may not join; Reason says why
)

// MirrorState is what the mirror of a peer says of itself.
type MirrorState struct {
	Phase MirrorPhase
	// Reason is for people; empty when Synced.
	Reason string
	// Epoch and Revision are the peer's, as far as they are mirrored.
	Epoch    string
	Revision int64
	// Since is when the phase began.
	Since time.Time
	// Cluster is what the peer last said of itself; the zero value when it
	// never did.
	Cluster Cluster
}

// Health is the state of a process in one word.
type Health string

// The states of a process.
const (
	HealthOK       Health = "OK"
	HealthDegraded Health = "Degraded"
	HealthStopped  Health = "Stopped"
)

// ProcessStatus is what a process reports of itself under status/<role>/<node>.
type ProcessStatus struct {
	Role, Node string
	Version    string
	Started    time.Time
	Health     Health
	// Reasons say why Health is not OK; there are none when it is.
	Reasons []string
	// Epoch is the store's, as the process knows it; an agent sets it.
	Epoch string
	// Identities are, in an agent's report, those that the pods of its node
	// have, by number, at most MaxReportedIdentities. Whoever gives numbers out
	// after the store was lost learns from them which are in use.
	Identities []Identity
	// GossipKeys are, in an agent's report, the ids of the keys that it decrypts
	// gossip with, the one that it encrypts with first; none when it does not gossip.
	GossipKeys []string
	// Drains are, in an agent's report, the connections of its node that are left to
	// what each cluster drains, in the order of DrainCount.Compare, at most
	// MaxReportedDrains.
	Drains []DrainCount
	// Sessions are, in a speaker's report, those that it is to have with routers, by
	// the name of the BGPPeer, at most MaxReportedSessions.
	Sessions []BGPSession
}

// BGPSession is the session of a speaker with a router.
type BGPSession struct {
	// Peer is the name of the BGPPeer.
	Peer string
	// State is the session's in a word, Reason why it is not Established.
	State       string
	Established bool
	Reason      string
}

// The roles of agents and speakers, in ProcessStatus and in its key.
const (
	RoleAgent   = "agent"
	RoleSpeaker = "speaker"
)

// MaxReportedIdentities bounds the identities in a report: more than a node has
// pods, and little enough for one value of etcd.
const MaxReportedIdentities = 1024

// MaxReportedDrains bounds the drains in a report.
const MaxReportedDrains = 256

// MaxReportedSessions bounds the sessions in a report.
const MaxReportedSessions = 256
