package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
)

// roomEvery is how often it is looked whether the store is full.
const roomEvery = time.Second

// room makes room in a store that has reached its quota. etcd then refuses
// every write until somebody has removed the history, given the space back and
// lifted the alarm: of an embedded store nobody would.
type room struct {
	server *etcdserver.EtcdServer
	quota  int64
	log    *slog.Logger
	// failing: making room has failed since the store is full.
	failing bool
}

// run looks after the store until ctx ends.
func (r *room) run(ctx context.Context) {
	tick := time.NewTicker(roomEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !r.full() {
			continue
		}
		err := r.make(ctx)
		if err != nil && !r.failing {
			r.log.Error("the store is full; nothing can be written to it", "err", err)
		} else if err == nil {
			r.log.Warn("the store was full; its history was removed to make room")
		}
		r.failing = err != nil
	}
}

func (r *room) full() bool {
	for _, a := range r.server.Alarms() {
		if a.Alarm == pb.AlarmType_NOSPACE {
			return true
		}
	}
	return false
}

// make removes the history, gives the space back and lifts the alarm, unless
// what remains is close to the quota.
func (r *room) make(ctx context.Context) error {
	ctx = r.server.AuthStore().WithRoot(ctx)
	_, err := r.server.Compact(ctx, &pb.CompactionRequest{Revision: r.server.KV().Rev(), Physical: true})
	if err != nil && !errors.Is(err, mvcc.ErrCompacted) {
		return fmt.Errorf("removing the history: %w", err)
	}
	b := r.server.Backend()
	b.ForceCommit()
	if inUse := b.SizeInUse(); inUse > r.quota*9/10 {
		return fmt.Errorf("%d bytes are in use, of a quota of %d", inUse, r.quota)
	}
	if err := b.Defrag(); err != nil {
		return fmt.Errorf("giving space back: %w", err)
	}
	_, err = r.server.Alarm(ctx, &pb.AlarmRequest{
		Action: pb.AlarmRequest_DEACTIVATE, MemberID: uint64(r.server.MemberID()), Alarm: pb.AlarmType_NOSPACE,
	})
	if err != nil {
		return fmt.Errorf("lifting the alarm: %w", err)
	}
	return nil
}
