package embedded_test

import (
	"context"
	"testing"
	"time"

	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/etcd/embedded"
	"tombolo.io/tombolo/internal/etcdtest"
)

// A first start that is cut short, whenever that is, leaves nothing that the
// next one stumbles over.
func TestFirstStartCutShort(t *testing.T) {
	for after := time.Millisecond; after < 150*time.Millisecond; after = after * 3 / 2 {
		cfg := embedded.Config{Dir: t.TempDir(), Listen: []string{"http://" + etcdtest.Address(t)}, EpochKey: etcdtest.EpochKey}
		ctx, cancel := context.WithTimeout(t.Context(), after)
		if s, err := embedded.Start(ctx, cfg, etcdtest.Log()); err == nil {
			s.Stop() // it was faster
		}
		cancel()
		serves(t, cfg, after)
	}
}

func serves(t *testing.T, cfg embedded.Config, after time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := embedded.Start(ctx, cfg, etcdtest.Log())
	if err != nil {
		t.Fatalf("cut short after %v: %v", after, err)
	}
	defer s.Stop()
	c, err := etcd.Dial(etcd.Config{Endpoints: cfg.Listen})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, ok, err := c.Get(ctx, etcdtest.EpochKey); err != nil || !ok {
		t.Errorf("cut short after %v: no epoch: %v", after, err)
	}
}
