package apiserver

import (
	"context"
	"maps"
	"slices"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/mirror"
)

// mirroring is the mirrors of other clusters, as they run beside a term.
type mirroring struct {
	mirrors *mirror.Mirrors
	cancel  context.CancelFunc
	// done has the error with which they ended, and is closed then.
	done chan error
}

// mirror starts the mirrors of the term, if they do not run, and tells them
// which peers there are, when that changed.
func (l *loop) mirror(ctx context.Context) {
	if l.mirroring == nil {
		l.mirroring = l.startMirrors(ctx)
		l.term.newPeers = true
	}
	if l.term.newPeers {
		l.mirroring.mirrors.Set(slices.Collect(maps.Values(l.term.peers)))
		l.term.newPeers = false
	}
}

func (l *loop) startMirrors(ctx context.Context) *mirroring {
	cfg := mirror.Config{Self: &l.server.config.Cluster, Store: l.client, Fence: l.turn.fence, Epoch: l.term.epoch}
	ctx, cancel := context.WithCancel(ctx)
	m := &mirroring{mirror.New(cfg, l.log), cancel, make(chan error, 1)}
	go func() {
		defer close(m.done)
		m.done <- m.mirrors.Run(ctx)
	}()
	return m
}

// stop ends the mirrors and returns when nothing of them runs any more.
func (m *mirroring) stop() {
	if m != nil {
		m.cancel()
		<-m.done
	}
}

// ended is where the error comes with which the mirrors end by themselves.
func (m *mirroring) ended() <-chan error {
	if m == nil {
		return nil
	}
	return m.done
}

// settled reports whether what is stored of how the mirrors stand is this term's word.
func (m *mirroring) settled() bool {
	if m == nil {
		return false
	}
	select {
	case <-m.mirrors.Settled():
		return true
	default:
		return false
	}
}

// changed is where it shows that the mirrors stand differently.
func (m *mirroring) changed() <-chan struct{} {
	if m == nil {
		return nil
	}
	return m.mirrors.Changed()
}

// peers returns how the mirrors stand, and what is wrong with them.
func (m *mirroring) peers() (all []mirror.Status, reasons []string) {
	if m == nil {
		return nil, nil
	}
	all = m.mirrors.Status()
	for _, p := range all {
		if p.State.Phase != clustermesh.MirrorSynced {
			reasons = append(reasons, "the mirror of "+p.Peer+" is "+string(p.State.Phase)+": "+p.State.Reason)
		}
		for _, e := range p.Examples[:min(len(p.Examples), 1)] {
			reasons = append(reasons, "a value of "+p.Peer+" is not mirrored: "+e.Key+": "+e.Reason)
		}
	}
	return all, reasons
}
