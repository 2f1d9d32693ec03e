package pods

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"tombolo.io/tombolo/internal/kept"
)

// Config says where to look.
type Config struct {
	// Dir has a file <uid>.json for each pod of the node, and RunDir is where what
	// was known is kept for a restart of the agent.
	Dir, RunDir string
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
	// Absent: there is no such directory and never was one, as where nobody tells
	// agents of pods.
	Absent bool
	// Problems say what cannot be read, a line each.
	Problems []string
}

// Node follows which pods run on this node.
type Node struct {
	config   Config
	epoch    Epoch
	log      *slog.Logger
	snapshot atomic.Pointer[Snapshot]

	// What follows is owned by Run.

	dir *directory
	// told is what was logged of problems.
	told map[string]bool
	// unkept: what is known is not on disk.
	unkept bool
}

// Without events everything is looked at now and then; a directory that cannot be
// watched more often.
const (
	relist = 10 * time.Second
	retry  = time.Second
)

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

// Run follows the directory until ctx ends.
func (n *Node) Run(ctx context.Context) error {
	n.dir = newDirectory(n.config.Dir, n.recall())
	var w *watch
	defer func() { w.close() }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-w.channel():
			if !ok {
				w = nil
			}
		case <-timer.C:
			// The directory under this path may be another by now.
			w.close()
			w = nil
		}
		var watching error
		if w == nil {
			w, watching = openWatch(n.config.Dir)
		}
		// Watched first: what changes during the pass is looked at again.
		err := n.look(watching)
		if err != nil && !errors.Is(err, errEmpty) {
			w.close()
			w = nil
		}
		next := relist
		if w == nil {
			next = retry
		}
		timer.Reset(next)
	}
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
	if m.Boot != n.config.Boot {
		return nil
	}
	return m.Pods
}

func (n *Node) path() string { return filepath.Join(n.config.RunDir, keptFile) }

// look makes a pass and publishes what it found. Whoever is told by the epoch to
// ask finds the answer there already. The error is why nothing could be learnt.
func (n *Node) look(watching error) error {
	before := n.dir.pods
	err := n.dir.pass()
	moved := !sameLife(before, n.dir.pods)
	s := &Snapshot{Problems: n.problems(err, watching), Absent: !n.dir.known && errors.Is(err, fs.ErrNotExist)}
	if n.dir.known {
		s.Set = newSet(n.dir.pods, n.dir.unread())
	}
	n.snapshot.Store(s)
	if moved {
		n.epoch.SetEpoch(n.epoch.Epoch() + 1)
		n.log.Info("other pods run on this node", "pods", len(n.dir.pods), "epoch", n.epoch.Epoch())
	}
	if moved || n.unkept {
		failed := kept.Write(n.path(), memory{n.config.Boot, n.dir.pods})
		if n.unkept = failed != nil; n.unkept {
			n.log.Warn("which pods run here is not kept for a restart", "error", failed)
		}
	}
	return err
}

// problems lists what is wrong, and logs what is new of it.
func (n *Node) problems(pass, watching error) []string {
	var out []string
	switch {
	case pass != nil:
		out = append(out, pass.Error())
	case watching != nil:
		out = append(out, fmt.Sprintf("%v: what changes is seen late", watching))
	}
	for _, uid := range slices.Sorted(maps.Keys(n.dir.bad)) {
		out = append(out, fmt.Sprintf("a pod's file is not used: %v", n.dir.bad[uid]))
	}
	told := map[string]bool{}
	for _, p := range out {
		if told[p] = true; !n.told[p] {
			n.log.Warn("pods of this node", "problem", p)
		}
	}
	n.told = told
	return out
}
