package gossip

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/internal/kept"
)

// Run gossips until ctx ends, and leaves then.
func (p *Pool) Run(ctx context.Context, batches <-chan view.Batch) error {
	p.recall()
	p.settle(time.Now())
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case b := <-batches:
			if b = view.Only(b, wanted...); len(b.Events) == 0 {
				continue // most are about services
			}
			p.take(b)
		case <-p.changed:
		case <-t.C:
			p.invite()
		case <-ctx.Done():
			p.stop(true)
			p.show()
			return nil
		}
		p.settle(time.Now())
	}
}

// recall takes in what was kept.
func (p *Pool) recall() {
	c, ok, err := kept.Read[record](filepath.Join(p.config.RunDir, file))
	if err != nil {
		p.log.Warn("who gossips, and by which keys, is not known before the store tells", "error", err)
	}
	if r, ring, whole := c.recalled(p.config.Node); ok && whole {
		p.roster.Store(r)
		p.rekey(ring)
	}
}

// take takes in what the store says. Of what it does not tell all, or has lost,
// what was known stays.
func (p *Pool) take(b view.Batch) {
	if c := p.view.Apply(b); len(c.Nodes)+len(c.Clusters) > 0 {
		if r := survey(p.view, p.config.Node, p.config.Port); r != nil && !r.equal(p.roster.Load()) {
			p.enroll(r)
		}
	}
	for _, e := range b.Events {
		if ring, ok := e.Value.(*clustermesh.Keyring); ok {
			p.rekey(ring)
			p.dirty = true
		}
	}
}

// enroll takes a roster over. Where this node itself is another, the pool begins
// anew; others that are new are invited.
func (p *Pool) enroll(r *roster) {
	old := p.roster.Swap(r)
	p.dirty = true
	if old != nil && (old.cluster != r.cluster || old.at() != r.at()) {
		p.stop(true)
	}
	p.mu.Lock()
	for name := range p.states {
		if !r.members[name].at.IsValid() {
			delete(p.states, name)
		}
	}
	p.mu.Unlock()
	p.invite()
}

func (p *Pool) rekey(ring *clustermesh.Keyring) {
	if err := p.keys.set(ring, time.Now()); err != nil {
		p.log.Error("keys of gossip cannot be used", "error", err)
	}
}

// settle does what is due, and says how things are.
func (p *Pool) settle(now time.Time) {
	r := p.roster.Load()
	if r != nil && p.keys.ring != nil && p.list.Load() == nil {
		err := p.start(r)
		if err != nil && p.problem == nil {
			p.log.Error("no gossip", "error", err)
		}
		p.problem = err
	}
	if p.keys.ring != nil {
		if err := p.keys.expire(now); err != nil {
			p.log.Error("an old key of gossip stays", "error", err)
		}
	}
	if p.dirty && r != nil && p.keys.ring != nil {
		p.dirty = false
		if err := kept.Write(filepath.Join(p.config.RunDir, file), recordOf(r, p.keys.ring)); err != nil {
			p.log.Warn("who gossips is not kept for a start without the store", "error", err)
		}
	}
	p.tell()
	p.show()
}

// retransmit and the times below let a letter reach a thousand members within a
// tenth of a second; who is idle sends nothing but a ping a second.
const retransmit = 4

// start begins to gossip.
func (p *Pool) start(r *roster) error {
	known := func(a netip.Addr) bool { _, ok := p.roster.Load().addresses[a]; return ok }
	t, err := listen(r.at(), known, &p.refused)
	if err != nil {
		return err
	}
	c := memberlist.DefaultLANConfig()
	c.Name, c.Label, c.Transport, c.Keyring = p.config.Node, r.cluster, t, p.keys.live
	c.BindPort = int(r.at().Port())
	c.Delegate, c.Events, c.Alive = delegate{p}, delegate{p}, delegate{p}
	c.Logger = log.New(&p.refused, "", 0)
	c.RetransmitMult, c.GossipInterval, c.GossipNodes = retransmit, 20*time.Millisecond, 4
	c.TCPTimeout, c.DeadNodeReclaimTime = 3*time.Second, tick
	c.EnableCompression = false // what is said is short
	list, err := memberlist.Create(c)
	if err != nil {
		return errors.Join(fmt.Errorf("beginning to gossip: %w", err), t.Shutdown())
	}
	p.list.Store(list)
	p.log.Info("gossiping", "address", r.at(), "cluster", r.cluster, "keys", p.keys.ids())
	p.invite()
	return nil
}

// stop ends it; orderly says that others are told.
func (p *Pool) stop(orderly bool) {
	list := p.list.Swap(nil)
	if list == nil {
		return
	}
	if orderly && p.alive.Load() > 1 {
		p.post(goodbye, nil)
		if err := list.Leave(parting); err != nil {
			p.log.Debug("leaving the gossip", "error", err)
		}
	}
	if err := list.Shutdown(); err != nil {
		p.log.Warn("ending the gossip", "error", err)
	}
	if p.joined != nil {
		<-p.joined
	}
	p.mu.Lock()
	clear(p.states)
	p.mu.Unlock()
	p.tell()
}

// invite asks some of the members that are missing to have us among them, and
// whomever they know: at the start, when the store names new ones, and again and
// again so that pools that were parted find each other.
func (p *Pool) invite() {
	list, r := p.list.Load(), p.roster.Load()
	if list == nil {
		return
	}
	if p.joined != nil {
		select {
		case <-p.joined:
		default:
			return // still asking
		}
	}
	missing := slices.DeleteFunc(r.others(), p.present)
	rand.Shuffle(len(missing), func(i, j int) { missing[i], missing[j] = missing[j], missing[i] })
	var at []string
	for _, name := range missing[:min(len(missing), invited)] {
		at = append(at, r.members[name].at.String())
	}
	if len(at) == 0 {
		return
	}
	p.joined = make(chan struct{})
	go func(done chan<- struct{}) {
		defer close(done)
		if _, err := list.Join(at); err != nil {
			p.log.Debug("nobody of those asked gossips", "asked", at, "error", err)
		}
	}(p.joined)
}

// present reports whether a member is alive.
func (p *Pool) present(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.states[name].State == StateAlive
}

// tell says who is in the pool, when that is news.
func (p *Pool) tell() {
	var now []string
	if p.list.Load() != nil {
		now = append(slices.DeleteFunc(p.roster.Load().others(), func(n string) bool { return !p.present(n) }), p.config.Node)
		slices.Sort(now)
	}
	p.alive.Store(int64(len(now)))
	if slices.Equal(now, p.told) {
		return
	}
	p.told = now
	select {
	case <-p.members: // one that nobody took yet
	default:
	}
	p.members <- now
}
