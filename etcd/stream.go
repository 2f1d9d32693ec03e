package etcd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// The watches of a stream, by the ids that we give them.
const (
	tableWatch = 1
	epochWatch = 2
)

// stream is one connection that watches a table and the epoch. It uses etcd's
// protocol directly: the client library resumes a watch behind our back, and
// a watch resumed at a revision that the store no longer has (restored, or
// emptied) is silent for ever.
type stream struct {
	pb.Watch_WatchClient
	// early are responses that came before every watch was created.
	early []*pb.WatchResponse
}

// watch opens a stream of what happens after a revision, and returns when its
// watches are in place.
func (c *Client) watch(ctx context.Context, prefix, end, epochKey string, after int64) (*stream, error) {
	api := pb.NewWatchClient(c.etcd.ActiveConnection())
	// What was missed comes in one message, however much it is.
	w, err := api.Watch(clientv3.WithRequireLeader(ctx), grpc.WaitForReady(true), grpc.MaxCallRecvMsgSize(math.MaxInt32))
	if err != nil {
		return nil, fmt.Errorf("watching %s: %w", prefix, err)
	}
	s := &stream{Watch_WatchClient: w}
	requests := []*pb.WatchCreateRequest{{
		WatchId: tableWatch, Key: []byte(prefix), RangeEnd: []byte(end),
		StartRevision: after + 1, ProgressNotify: true,
	}}
	if epochKey != "" {
		requests = append(requests, &pb.WatchCreateRequest{WatchId: epochWatch, Key: []byte(epochKey), StartRevision: after + 1})
	}
	for _, r := range requests {
		err := w.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: r}})
		if err != nil {
			return nil, fmt.Errorf("watching %s: %w", r.Key, err)
		}
	}
	return s, s.created(len(requests))
}

// askAgain is the time between two questions of how far a stream is. What a stream missed
// is sent within 100 ms, or ever more of it.
const askAgain = 20 * time.Millisecond

// askProgress asks how far the stream is until ctx ends: a store answers only while it
// has sent all that a stream missed. Nothing else may be sent meanwhile.
func (s *stream) askProgress(ctx context.Context) {
	tick := time.NewTicker(askAgain)
	defer tick.Stop()
	ask := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}
	for s.Send(ask) == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// created waits for the confirmation of n watches.
func (s *stream) created(n int) error {
	for n > 0 {
		resp, err := s.next()
		if err != nil {
			return err
		}
		if resp.Created {
			n--
		} else {
			s.early = append(s.early, resp)
		}
	}
	return nil
}

// next returns the next response, whose watch is in place. It returns
// errCompacted when the revision to start from is no longer in the store.
func (s *stream) next() (*pb.WatchResponse, error) {
	resp, err := s.Recv()
	switch {
	case err != nil:
		return nil, fmt.Errorf("watching: %w", err)
	case resp.CompactRevision != 0:
		return nil, errCompacted
	case resp.Canceled:
		return nil, fmt.Errorf("watching: %w", errors.New(resp.CancelReason))
	}
	return resp, nil
}

// receive is next, after what came early.
func (s *stream) receive() (*pb.WatchResponse, error) {
	if len(s.early) > 0 {
		resp := s.early[0]
		s.early = s.early[1:]
		return resp, nil
	}
	return s.next()
}

func toChanges(events []*mvccpb.Event) []change {
	out := make([]change, len(events))
	for i, e := range events {
		out[i] = change{KV: toKV(e.Kv), deleted: e.Type == mvccpb.Event_DELETE}
	}
	return out
}
