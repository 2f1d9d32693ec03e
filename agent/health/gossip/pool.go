package gossip

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/clustermesh/view"
)

// DefaultPort is the port of gossip, UDP and TCP: that of memberlist's other users.
const DefaultPort = 7946

// Config says where a pool is.
type Config struct {
	// Node is the name of this node, RunDir where it keeps what it must know for a
	// start without the store.
	Node, RunDir string
	// Port is that of all nodes which do not say another.
	Port uint16
}

const (
	// file is the name of what is kept.
	file = "gossip.json"
	// tick is how often it is looked whether there is something to do: to start, to
	// look for members that are missing, to let a key go.
	tick = time.Second
	// invited is how many missing members are asked at a time.
	invited = 3
	// maxQueue bounds the letters to be passed on, maxReceived those that nobody took.
	maxQueue    = 4096
	maxReceived = 4096
	// parting bounds how long leaving takes.
	parting = time.Second
)

// Pool is this agent's place in the gossip of its cluster; it is a health.Pool.
type Pool struct {
	config   Config
	log      *slog.Logger
	refused  refusals
	received chan health.Message
	members  chan []string
	changed  chan struct{}
	snapshot atomic.Pointer[Snapshot]
	roster   atomic.Pointer[roster]
	queue    memberlist.TransmitLimitedQueue
	alive    atomic.Int64
	number   atomic.Uint64
	sent     atomic.Uint64
	taken    atomic.Uint64
	// list is nil while it does not run.
	list atomic.Pointer[memberlist.Memberlist]

	// memberlist calls from goroutines of its own, and may not wait: what its calls
	// change is guarded by mu, under which nothing of it is called.
	mu     sync.Mutex
	seen   *seen
	states map[string]since

	// What follows is owned by Run.

	view    *view.View
	keys    keys
	joined  chan struct{} // closed when the last attempt to join has ended
	told    []string
	dirty   bool
	problem error
}

// since is a member's state, and since when it is that.
type since struct {
	State State
	at    time.Time
}

// New returns a pool that does nothing before Run.
func New(c Config, log *slog.Logger) *Pool {
	p := &Pool{
		config: c, log: log, refused: refusals{log: log}, received: make(chan health.Message, maxReceived),
		members: make(chan []string, 1), changed: make(chan struct{}, 1), seen: newSeen(), states: map[string]since{}, view: view.New(c.Node),
	}
	p.queue = memberlist.TransmitLimitedQueue{RetransmitMult: retransmit, NumNodes: func() int { return int(p.alive.Load()) }}
	p.number.Store(firstNumber())
	p.snapshot.Store(&Snapshot{})
	return p
}

// Broadcast lets all others have a payload soon. It never blocks; of a payload
// longer than MaxPayload nothing is sent.
func (p *Pool) Broadcast(payload []byte) { p.post(toAll, payload) }

func (p *Pool) post(k kind, payload []byte) {
	if b, ok := p.seal(k, payload); ok {
		p.enqueue(b)
	}
}

// Send lets one member have a payload, if it can be reached; nobody says whether it
// did. It never blocks.
func (p *Pool) Send(to string, payload []byte) {
	r, list := p.roster.Load(), p.list.Load()
	if r == nil || list == nil || !r.members[to].at.IsValid() {
		return
	}
	if b, ok := p.seal(direct, payload); ok {
		_ = list.SendToAddress(memberlist.Address{Addr: r.members[to].at.String(), Name: to}, b) // as if it were lost
	}
}

func (p *Pool) seal(k kind, payload []byte) ([]byte, bool) {
	if len(payload) > MaxPayload {
		p.log.Error("what is to be gossiped is too long", "bytes", len(payload), "at most", MaxPayload)
		return nil, false
	}
	p.sent.Add(1)
	return letter{kind: k, from: p.config.Node, number: p.number.Add(1), payload: payload}.append(nil), true
}

// enqueue has a letter passed on.
func (p *Pool) enqueue(b []byte) {
	p.queue.QueueBroadcast(broadcast(b))
	if p.queue.NumQueued() > maxQueue {
		p.queue.Prune(maxQueue)
		p.refused.note(overflow, "more letters than can be passed on")
	}
}

// Received returns the payloads of others.
func (p *Pool) Received() <-chan health.Message { return p.received }

// Members returns who is in the pool, this node included, by name, each time that
// it changes; nobody at all while the pool does not run.
func (p *Pool) Members() <-chan []string { return p.members }
