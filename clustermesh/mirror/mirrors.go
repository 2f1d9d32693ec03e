package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
)

// Times of the mirrors.
const (
	// stateEvery is how often the states are written again: readers whose store
	// was away believe none before.
	stateEvery = 5 * time.Second
	// refreshEvery is how often the markers are written again; see
	// etcd.Writer.Refresh. The first time is early: readers of a store whose
	// files were exchanged under its epoch wait for it.
	refreshEvery = 30 * time.Second
	refreshFirst = 5 * time.Second
	// prompt is how long a peer has to be heard in a new term before its mirror, that
	// the term before left as synced, is stale.
	prompt = time.Second
)

// Config is one term of a leader.
type Config struct {
	// Self is our cluster.
	Self *clustermesh.Cluster
	// Store is our cluster's etcd, Fence the term, and Epoch the store's epoch,
	// for as long as the term lasts.
	Store *etcd.Client
	Fence etcd.Fence
	Epoch string
}

// Validate reports every mistake of the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.Self == nil {
		errs = append(errs, errors.New("our own cluster is not given"))
	}
	if c.Store == nil {
		errs = append(errs, errors.New("our store is not given"))
	}
	if c.Epoch == "" {
		errs = append(errs, errors.New("the store's epoch is not given"))
	}
	return errors.Join(errs...)
}

// Mirrors keeps the mirrors of all configured peers for one term.
type Mirrors struct {
	cfg        Config
	log        *slog.Logger
	wanted     chan []*clustermesh.Peer
	deliveries chan delivery
	status     atomic.Pointer[[]Status]
	changed    chan struct{}

	writer *etcd.Writer
	peers  map[string]*peer
	// admitted is what mirror/<peer>/cluster says, by peer: who joined.
	admitted map[string]*clustermesh.Cluster
	// states are those found in the store when the term began, by peer.
	states  map[string]*clustermesh.MirrorState
	readers sync.WaitGroup
	// settled is closed once no state that is stored claims more than this term knows;
	// hearing: it is waited for that.
	settled chan struct{}
	hearing bool
}

// New returns mirrors that wait for Set and Run.
func New(cfg Config, log *slog.Logger) *Mirrors {
	m := &Mirrors{
		cfg: cfg, log: log,
		wanted:     make(chan []*clustermesh.Peer, 1),
		deliveries: make(chan delivery),
		changed:    make(chan struct{}, 1),
		peers:      map[string]*peer{},
		admitted:   map[string]*clustermesh.Cluster{},
		states:     map[string]*clustermesh.MirrorState{},
		settled:    make(chan struct{}),
	}
	m.status.Store(&[]Status{})
	return m
}

// Set says which peers are to be mirrored: all of them, for the mirror of any
// other is removed. It does not wait. Nothing is removed before the first Set,
// so that a caller who does not know the peers yet does not call it.
func (m *Mirrors) Set(peers []*clustermesh.Peer) {
	for {
		select {
		case m.wanted <- peers:
			return
		default:
		}
		select {
		case <-m.wanted:
		default:
		}
	}
}

// Settled is closed once every peer was heard in this term, or is stored as stale: what
// the store says of the mirrors is true then, and no older term's word. Changed tells.
func (m *Mirrors) Settled() <-chan struct{} { return m.settled }

// Run mirrors until ctx ends or the term does: etcd.ErrDeposed and
// etcd.ErrRewound are final, and call for a new term with new Mirrors.
func (m *Mirrors) Run(ctx context.Context) error {
	if err := m.cfg.Validate(); err != nil {
		return fmt.Errorf("configuring the mirrors: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer m.readers.Wait()
	defer cancel()
	if err := m.begin(ctx); err != nil {
		return fmt.Errorf("taking over the mirrors: %w", err)
	}
	state, refresh := time.NewTicker(stateEvery), time.NewTimer(refreshFirst)
	defer state.Stop()
	defer refresh.Stop()
	var unheard <-chan time.Time
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case peers := <-m.wanted:
			if err = m.configure(ctx, peers); unheard == nil {
				unheard, m.hearing = time.After(prompt), true
			}
		case d := <-m.deliveries:
			err = m.take(ctx, d)
		case <-unheard:
			err = m.doubt()
		case <-state.C:
			err = m.report(ctx, true)
		case <-refresh.C:
			refresh.Reset(refreshEvery)
			m.writer.Refresh()
			err = m.writer.Flush(ctx)
		}
		if err == nil {
			err = m.report(ctx, false)
		}
		if err == nil {
			m.settle()
		}
		if err != nil {
			return fmt.Errorf("mirroring: %w", err)
		}
	}
}

// report writes the states that changed, with everything that is staged, and
// publishes the status. With all it writes also those that are as they were, or
// have but another revision.
func (m *Mirrors) report(ctx context.Context, all bool) error {
	now := time.Now()
	for _, name := range sortedKeys(m.peers) {
		p := m.peers[name]
		if !p.heard && p.trouble == nil && p.state != nil {
			continue // until something is heard, the state is what it was
		}
		s := p.describe(now)
		if p.state != nil && sameState(p.state, s) && p.told && !all {
			continue
		}
		if err := m.state(name, p, s); err != nil {
			return err
		}
	}
	m.publish()
	return m.writer.Flush(ctx)
}

// state stages what a mirror says of itself, as a marker is: readers whose store was away
// wait until it is said again.
func (m *Mirrors) state(name string, p *peer, s *clustermesh.MirrorState) error {
	m.transition(name, p.state, s)
	p.state, p.told = s, true
	value, err := clustermesh.Encode(s)
	if err != nil {
		return err
	}
	m.writer.Mark(inMirror(name, clustermesh.KindState, "").String(), value)
	return nil
}

// doubt stages that the mirrors are stale whose peers this term did not hear yet.
func (m *Mirrors) doubt() error {
	now := time.Now()
	for _, name := range sortedKeys(m.peers) {
		p := m.peers[name]
		if p.heard || p.trouble != nil || p.state == nil || p.state.Phase != clustermesh.MirrorSynced {
			continue
		}
		if err := m.state(name, p, p.describe(now)); err != nil {
			return err
		}
	}
	return nil
}

// settle notes that the states that are stored are this term's own, if they are.
func (m *Mirrors) settle() {
	if !m.hearing {
		return
	}
	for _, p := range m.peers {
		if !p.heard && p.trouble == nil && p.state != nil && p.state.Phase == clustermesh.MirrorSynced {
			return
		}
	}
	m.hearing = false
	close(m.settled)
	m.poke()
}

// transition logs a change of phase.
func (m *Mirrors) transition(peer string, from, to *clustermesh.MirrorState) {
	if from != nil && from.Phase == to.Phase && from.Reason == to.Reason {
		return
	}
	level := slog.LevelInfo
	if to.Phase == clustermesh.MirrorStale || to.Phase == clustermesh.MirrorRefused {
		level = slog.LevelWarn
	}
	m.log.Log(context.Background(), level, "mirror is "+string(to.Phase), "peer", peer, "reason", to.Reason)
}

// put stages an object of ours under its key.
func (m *Mirrors) put(key clustermesh.Key, o clustermesh.Object) error {
	value, err := clustermesh.Encode(o)
	if err != nil {
		return err
	}
	m.writer.Put(key.String(), value)
	return nil
}
