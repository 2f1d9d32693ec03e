package pods

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync/atomic"

	"tombolo.io/tombolo/internal/kept"
)

// Config says where to look.
type Config struct {
	// Source says which pods run.
	Source Source
	// RunDir is where what was known is kept for a restart of the agent.
	RunDir string
	// Boot is the kernel's boot id: what was known under another one is worth
	// nothing.
	Boot string
}

// Epoch is the endpoint epoch that replies to probes carry; bpf.Responder has it.
type Epoch interface {
	Epoch() uint64
	SetEpoch(uint64)
}

// Snapshot is what is known. It is immutable.
type Snapshot struct {
	// Set is nil while nothing is known.
	Set *Set
	// From says whence it is known, for people.
	From string
	// Doubted counts the pods whose source has them no more, which is not believed.
	Doubted int
	// Problems say what is not in order, a line each.
	Problems []string
}

// Node follows which pods run on this node.
type Node struct {
	config   Config
	epoch    Epoch
	log      *slog.Logger
	snapshot atomic.Pointer[Snapshot]

	// What follows is owned by Run.

	// pods are those that are known, by uid.
	pods map[string]Pod
	// told is what was logged of problems, from what was logged of where it is known.
	told map[string]bool
	from string
	// unkept: what is known is not on disk.
	unkept bool
}

// keptFile has what was known, below the run directory.
const keptFile = "known-pods.json"

// New returns a Node that knows nothing before Run.
func New(c Config, e Epoch, log *slog.Logger) *Node {
	n := &Node{config: c, epoch: e, log: log, told: map[string]bool{}}
	n.snapshot.Store(&Snapshot{})
	return n
}

// Snapshot returns what is known; any goroutine may ask.
func (n *Node) Snapshot() *Snapshot { return n.snapshot.Load() }

// Run follows the source until ctx ends.
func (n *Node) Run(ctx context.Context) error {
	n.pods = n.recall()
	n.config.Source.Follow(ctx, n.pods, n.take)
	return nil
}

// memory is what is kept for a restart.
type memory struct {
	Boot string         `json:"boot"`
	Pods map[string]Pod `json:"pods"`
}

// recall returns what was known before a restart.
func (n *Node) recall() map[string]Pod {
	m, _, err := kept.Read[memory](n.path())
	if err != nil {
		n.log.Warn("which pods ran here before is not known", "error", err)
	}
	if m.Boot != n.config.Boot || len(m.Pods) == 0 {
		return nil
	}
	return m.Pods
}

func (n *Node) path() string { return filepath.Join(n.config.RunDir, keptFile) }

// take publishes what was found. Whoever is told by the epoch to ask finds the
// answer there already. A source that is silent no more moves it, too: who asked
// meanwhile was told of some pods that nothing is known, and has to ask again.
func (n *Node) take(f Finding) {
	n.note(f)
	before := n.snapshot.Load().Set
	heard := before != nil && before.silent && !f.Silent
	n.snapshot.Store(&Snapshot{Set: setOf(f), From: f.From, Doubted: f.Doubted, Problems: f.Problems})
	moved := f.Pods != nil && !sameLife(n.pods, f.Pods)
	if f.Pods != nil {
		n.pods = f.Pods
	}
	if moved || heard {
		n.epoch.SetEpoch(n.epoch.Epoch() + 1)
	}
	if moved {
		n.log.Info("other pods run on this node", "pods", len(n.pods), "epoch", n.epoch.Epoch())
	}
	if moved || n.unkept {
		failed := kept.Write(n.path(), memory{n.config.Boot, n.pods})
		if n.unkept = failed != nil; n.unkept {
			n.log.Warn("which pods run here is not kept for a restart", "error", failed)
		}
	}
}

// note logs what is new of a finding's problems, and where it is from.
func (n *Node) note(f Finding) {
	if f.From != n.from {
		n.from = f.From
		n.log.Info("which pods run on this node is known", "from", f.From)
	}
	told := map[string]bool{}
	for _, p := range f.Problems {
		if told[p] = true; !n.told[p] {
			n.log.Warn("pods of this node", "problem", p)
		}
	}
	n.told = told
}
