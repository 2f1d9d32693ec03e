package lab

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/clustermesh/source/manifests"
)

// What the lab writes is what the API server's own source takes, all of it and
// without a complaint.
func TestTheSourceTakesTheObjects(t *testing.T) {
	l := newLab(t, base(t), "src")
	upTo(t, l, "objects")
	s := manifests.New(manifests.Config{Dir: l.Manifests("east")}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	updates, ended := make(chan source.Update), make(chan error, 1)
	go func() { ended <- s.Run(ctx, updates) }()
	taken := map[string][]source.Object{}
	for synced := 0; synced < len(source.Kinds); {
		select {
		case u := <-updates:
			synced += len(u.Synced)
			for _, c := range u.Changes {
				taken[c.Key.String()] = c.Objects
			}
		case <-ctx.Done():
			t.Fatal("the source did not sync")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := s.Status(); len(got.Problems)+len(got.Skipped) > 0 || got.Objects != len(taken) || got.Objects != 10 {
		t.Errorf("status %+v with %d objects", got, len(taken))
	}
	for key, objects := range taken {
		if len(objects) != 1 {
			t.Errorf("%s means %d objects", key, len(objects))
		}
	}
	echo := taken["Service demo/echo"][0].(*clustermesh.Service)
	if !echo.Global || !echo.Shared || len(echo.Ports) != 2 || len(echo.ClusterIPs) != 2 {
		t.Errorf("demo/echo is %+v", echo)
	}
	peer := taken["BGPPeer router-east"][0].(*clustermesh.BGPPeer)
	if peer.HoldTime != 9*time.Second || peer.LocalASN != 64513 {
		t.Errorf("the router is %+v", peer)
	}
}
