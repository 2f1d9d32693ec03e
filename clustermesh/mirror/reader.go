package mirror

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
)

// exported is what the keys that a peer shares begin with.
const exported = clustermesh.Root + string(clustermesh.Export) + "/"

// redial is the time between two attempts to configure the connection; a
// connection that is configured is retried by the etcd package.
const redial = time.Second

// reader follows one peer's export/ and delivers it.
type reader struct {
	peer *clustermesh.Peer
	log  *slog.Logger
	out  chan<- delivery
}

// delivery is what a reader has to say: a batch, or why it cannot read.
type delivery struct {
	from  *reader
	batch view.Batch
	err   error
}

// run reads until ctx ends.
func (r *reader) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := r.read(ctx)
		if ctx.Err() != nil {
			return
		}
		r.log.Warn("cannot read the peer", "err", err)
		r.deliver(ctx, delivery{from: r, err: err})
		select {
		case <-time.After(redial):
		case <-ctx.Done():
		}
	}
}

// read connects and delivers batches until ctx ends or the configuration of the
// connection turns out to be of no use.
func (r *reader) read(ctx context.Context) error {
	c, err := dial(r.peer)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches, ended := make(chan view.Batch), make(chan error, 1)
	go func() { ended <- view.WatchExport(ctx, c, r.log, batches) }()
	for {
		select {
		case b := <-batches:
			r.deliver(ctx, delivery{from: r, batch: b})
		case err := <-ended:
			return err
		}
	}
}

func (r *reader) deliver(ctx context.Context, d delivery) {
	select {
	case r.out <- d:
	case <-ctx.Done():
	}
}

// dial returns a client of a peer's store, over mutual TLS and nothing else.
func dial(p *clustermesh.Peer) (*etcd.Client, error) {
	conf, err := etcd.TLSFiles{CA: p.TLS.CA, Cert: p.TLS.Cert, Key: p.TLS.Key}.Client()
	if err != nil {
		return nil, fmt.Errorf("connecting to peer %q: %w", p.Name, err)
	}
	return etcd.Dial(etcd.Config{Endpoints: p.Endpoints, TLS: conf})
}

// samePeer reports whether two configurations of a peer are read alike.
func samePeer(a, b *clustermesh.Peer) bool {
	return a.Name == b.Name && a.TLS == b.TLS && slices.Equal(a.Endpoints, b.Endpoints)
}
