package mirror

import (
	"context"
	"fmt"
	"strings"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
)

// identity is the key under which a peer says who it is.
var identity = clustermesh.Key{Area: clustermesh.Export, Kind: clustermesh.KindCluster}.String()

// take takes in what a reader delivered, and stages and writes what follows.
func (m *Mirrors) take(ctx context.Context, d delivery) error {
	p := m.peers[d.from.peer.Name]
	if p == nil || p.reader != d.from {
		return nil // of a reader that was replaced
	}
	if p.trouble = d.err; d.err != nil {
		return nil
	}
	p.heard = true
	p.stale, p.err = d.batch.Stale, d.batch.Err
	p.epoch, p.revision = d.batch.Epoch, d.batch.Revision
	pass := p.pass
	if p.introduced(d.batch) {
		if err := m.judge(ctx); err != nil {
			return err
		}
		if p.pass != pass {
			return nil // the new pass brings everything again
		}
	}
	for _, e := range d.batch.Events {
		if err := m.event(ctx, p, e); err != nil {
			return err
		}
	}
	return m.writer.Flush(ctx)
}

// introduced takes in what a batch has of who the peer is, and reports whether
// it has something.
func (p *peer) introduced(b view.Batch) bool {
	for _, e := range b.Events {
		if e.Key != identity || e.Op == etcd.Invalid {
			continue
		}
		p.said, _ = e.Value.(*clustermesh.Cluster)
		delete(p.problems, e.Key)
		return true
	}
	return false
}

// event stages what an event of a peer changes in its mirror.
func (m *Mirrors) event(ctx context.Context, p *peer, e etcd.Event[clustermesh.Object]) error {
	if e.Key == identity && e.Op != etcd.Invalid {
		return nil // introduced took it
	}
	key, err := clustermesh.ParseKey(e.Key)
	if err != nil || key.Kind == clustermesh.KindCluster || key.Kind == clustermesh.KindLease {
		p.note(e)
		return nil
	}
	if !p.open() {
		p.pass.dropped = true
		return nil
	}
	if key.Kind == clustermesh.KindSynced {
		return m.marked(ctx, p, clustermesh.Kind(key.Name), e)
	}
	t := p.pass.tables[key.Kind]
	if t == nil {
		p.note(etcd.Event[clustermesh.Object]{Op: etcd.Invalid, Key: e.Key, Err: fmt.Errorf("no table %q is mirrored", key.Kind)})
		return nil
	}
	if e.Op == etcd.Delete {
		delete(t.keys, e.Key)
		m.writer.Delete(mirrored(p.config.Name, e.Key))
	} else {
		t.keys[e.Key] = struct{}{}
	}
	if e.Op == etcd.Put {
		m.copy(p, &e)
	}
	p.note(e)
	return nil
}

// copy stages the value of a put, if it may come from this peer; else the last
// good one stays, and the event becomes one of an invalid value.
func (m *Mirrors) copy(p *peer, e *etcd.Event[clustermesh.Object]) {
	err := fits(p.pass.under, e.Value)
	var value []byte
	if err == nil {
		value, err = clustermesh.Encode(e.Value)
	}
	if err != nil {
		e.Op, e.Err = etcd.Invalid, err
		return
	}
	m.writer.Put(mirrored(p.config.Name, e.Key), value)
}

// note keeps why the value of a key is not mirrored, or forgets it.
func (p *peer) note(e etcd.Event[clustermesh.Object]) {
	if e.Op == etcd.Invalid {
		p.problems[e.Key] = e.Err
	} else {
		delete(p.problems, e.Key)
	}
}

// marked takes in that a peer vouches for a table, or no longer does.
//
// When it does for the first time in a pass, the pass has brought all that the
// table has: what the mirror has besides is removed, and then our own marker is
// written. When it no longer does our marker stays: the mirror is as good as it
// was, and whoever starts now is to use it.
func (m *Mirrors) marked(ctx context.Context, p *peer, kind clustermesh.Kind, e etcd.Event[clustermesh.Object]) error {
	t := p.pass.tables[kind]
	if t == nil {
		return nil
	}
	t.synced, t.why = e.Op == etcd.Synced, e.Err
	if !t.synced {
		return nil
	}
	prefix := inMirror(p.config.Name, kind, "").Prefix()
	if !t.swept {
		t.swept = true
		for key := range m.writer.Stored(prefix) {
			if _, ok := t.keys[exported+strings.TrimPrefix(key, mirrorOf(p.config.Name))]; !ok {
				m.writer.Delete(key)
			}
		}
	}
	if err := m.writer.Flush(ctx); err != nil {
		return err
	}
	count := 0
	for range m.writer.Stored(prefix) {
		count++
	}
	value, err := clustermesh.Encode(&clustermesh.Synced{Source: p.pass.id, Epoch: m.cfg.Epoch, Count: count})
	if err != nil {
		return err
	}
	m.writer.Mark(inMirror(p.config.Name, clustermesh.KindSynced, string(kind)).String(), value)
	return nil
}

// mirrorOf returns what the keys of a peer's mirror begin with.
func mirrorOf(peer string) string {
	return clustermesh.Root + string(clustermesh.Mirror) + "/" + peer + "/"
}

// mirrored returns the key under which we keep what a peer exports under key.
func mirrored(peer, key string) string { return mirrorOf(peer) + strings.TrimPrefix(key, exported) }

func inMirror(peer string, kind clustermesh.Kind, name string) clustermesh.Key {
	return clustermesh.Key{Area: clustermesh.Mirror, Cluster: peer, Kind: kind, Name: name}
}

// pause waits before something is tried again.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
