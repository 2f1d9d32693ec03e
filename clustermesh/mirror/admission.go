package mirror

import (
	"context"
	"fmt"
	"strings"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
)

// begin takes over what the term before left: who is mirrored, and how far.
func (m *Mirrors) begin(ctx context.Context) error {
	area := clustermesh.Root + string(clustermesh.Mirror) + "/"
	w, err := etcd.NewWriter(ctx, m.cfg.Store, m.cfg.Fence, area)
	if err != nil {
		return err
	}
	m.writer = w
	for name := range m.mirrors() {
		c, err := load[*clustermesh.Cluster](ctx, m, inMirror(name, clustermesh.KindCluster, ""))
		if err != nil {
			return err
		}
		s, err := load[*clustermesh.MirrorState](ctx, m, inMirror(name, clustermesh.KindState, ""))
		if err != nil {
			return err
		}
		if c != nil {
			m.admitted[name] = c
		}
		if s != nil {
			m.states[name] = s
		}
	}
	return nil
}

// mirrors returns the peers of which something is stored.
func (m *Mirrors) mirrors() map[string]struct{} {
	area := clustermesh.Root + string(clustermesh.Mirror) + "/"
	names := map[string]struct{}{}
	for key := range m.writer.Stored(area) {
		name, _, _ := strings.Cut(strings.TrimPrefix(key, area), "/")
		names[name] = struct{}{}
	}
	return names
}

// load reads an object of ours; nil when it is not there, or of a form that
// this version does not read and is about to replace.
func load[T clustermesh.Object](ctx context.Context, m *Mirrors, key clustermesh.Key) (T, error) {
	var none T
	kv, ok, err := m.cfg.Store.Get(ctx, key.String())
	if err != nil || !ok {
		return none, err
	}
	o, err := clustermesh.Decode(key, kv.Value)
	if err != nil {
		m.log.Warn("what was mirrored does not decode; it is written anew", "err", err)
		return none, nil
	}
	return o.(T), nil
}

// configure makes the peers those that are wanted.
func (m *Mirrors) configure(ctx context.Context, wanted []*clustermesh.Peer) error {
	names := map[string]bool{}
	for _, c := range wanted {
		names[c.Name] = true
		switch p := m.peers[c.Name]; {
		case p == nil:
			p = &peer{config: c, state: m.states[c.Name]}
			m.peers[c.Name] = p
			m.restart(ctx, p)
		case !samePeer(p.config, c):
			p.config, p.said, p.refusal = c, nil, nil
			m.restart(ctx, p)
		}
	}
	gone := m.mirrors()
	for name := range m.peers {
		gone[name] = struct{}{}
	}
	removed := false
	for _, name := range sortedKeys(gone) {
		if names[name] {
			continue
		}
		removed = true
		if err := m.remove(ctx, name); err != nil {
			return err
		}
	}
	if removed {
		return m.judge(ctx) // what the removed had is free
	}
	return nil
}

// restart begins another pass over a peer.
func (m *Mirrors) restart(ctx context.Context, p *peer) {
	if p.stop != nil {
		p.stop()
	}
	ctx, p.stop = context.WithCancel(ctx)
	p.pass, p.problems, p.trouble, p.heard = newPass(), map[string]error{}, nil, false
	r := &reader{peer: p.config, log: m.log.With("peer", p.config.Name), out: m.deliveries}
	p.reader = r
	m.readers.Go(func() { r.run(ctx) })
}

// remove ends a peer and removes its mirror.
func (m *Mirrors) remove(ctx context.Context, name string) error {
	if p := m.peers[name]; p != nil {
		p.stop()
		delete(m.peers, name)
	}
	m.log.Info("removing the mirror of a peer that is no longer configured", "peer", name)
	return m.clear(ctx, name)
}

// clear removes all that is mirrored of a peer: first the data, so that readers
// see it deleted from tables that are vouched for, and then the markers.
func (m *Mirrors) clear(ctx context.Context, name string) error {
	var markers []string
	synced := inMirror(name, clustermesh.KindSynced, "").Prefix()
	for key := range m.writer.Stored(mirrorOf(name)) {
		if strings.HasPrefix(key, synced) {
			markers = append(markers, key)
		} else {
			m.writer.Delete(key)
		}
	}
	if err := m.writer.Flush(ctx); err != nil {
		return err
	}
	for _, key := range markers {
		m.writer.Delete(key)
	}
	delete(m.admitted, name)
	delete(m.states, name)
	return m.writer.Flush(ctx)
}

// judge decides of every peer that said who it is whether it may join, until
// nothing changes any more: whoever changes makes room for another.
func (m *Mirrors) judge(ctx context.Context) error {
	for changed := true; changed; {
		changed = false
		for _, name := range sortedKeys(m.peers) {
			p := m.peers[name]
			if p.said == nil {
				continue
			}
			p.refusal = Admit(m.cfg.Self, m.admitted, name, p.said)
			if p.refusal != nil {
				continue
			}
			if !p.pass.dropped && sameCluster(p.pass.under, p.said) {
				if err := m.know(name, p.said); err != nil {
					return err
				}
				continue
			}
			changed = true
			if err := m.admit(ctx, name, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// admit lets a peer join as what it says to be. A peer with another id is
// another cluster: what is mirrored of the old one goes first. Of one that
// changed otherwise goes what it may no longer say.
func (m *Mirrors) admit(ctx context.Context, name string, p *peer) error {
	if p.pass.under != nil || p.pass.dropped {
		m.restart(ctx, p)
	}
	p.pass.under = p.said
	old := m.admitted[name]
	switch {
	case sameCluster(old, p.said):
		return m.know(name, p.said)
	case old != nil && old.ID != p.said.ID:
		m.log.Warn("peer has another id; removing the mirror of the cluster that it was", "peer", name, "was", old.ID, "is", p.said.ID)
		if err := m.clear(ctx, name); err != nil {
			return err
		}
		p.state = nil
	case old != nil:
		if err := m.evict(ctx, name, p.said); err != nil {
			return err
		}
	}
	return m.know(name, p.said)
}

// know stages what a peer that joined says of itself.
func (m *Mirrors) know(name string, c *clustermesh.Cluster) error {
	m.admitted[name] = c
	return m.put(inMirror(name, clustermesh.KindCluster, ""), c)
}

// evict removes from a mirror what its cluster, as it is now, may not say. It
// comes before the cluster's new claims are known to anybody, so that nobody
// is given an address that an old value still claims.
func (m *Mirrors) evict(ctx context.Context, name string, c *clustermesh.Cluster) error {
	if err := m.writer.Flush(ctx); err != nil {
		return err
	}
	for {
		_, err := m.cfg.Store.List(ctx, mirrorOf(name), func(kv etcd.KV) error {
			o, err := clustermesh.DecodeAt(kv.Key, kv.Value)
			if err != nil || fits(c, o) != nil {
				m.writer.Delete(kv.Key)
			}
			return nil
		})
		if err == nil {
			return m.writer.Flush(ctx)
		}
		m.log.Warn("cannot read our own store; trying again", "err", fmt.Errorf("reading the mirror of %q: %w", name, err))
		if err := pause(ctx, redial); err != nil {
			return err
		}
	}
}
