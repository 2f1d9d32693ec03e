package embedded_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/etcdtest"
)

// fill writes under the names that key gives until the store is full.
func fill(t *testing.T, c *etcd.Client, key func(i int) string) {
	t.Helper()
	for i := range 1000 {
		err := c.Put(t.Context(), key(i), make([]byte, 1<<20))
		if errors.Is(err, rpctypes.ErrNoSpace) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the store has no quota")
}

// recovered waits until the store takes a write again.
func recovered(c *etcd.Client, t *testing.T, limit time.Duration) bool {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); time.Now().Before(end); <-tick.C {
		err := c.Put(t.Context(), "t/probe", []byte("x"))
		if err == nil {
			return true
		}
		if !errors.Is(err, rpctypes.ErrNoSpace) {
			t.Fatal(err)
		}
	}
	return false
}

func TestFullStoreMakesRoom(t *testing.T) {
	s := etcdtest.New(t)
	s.Stop()
	s.Config.Quota = 24 << 20
	s.Start()
	c := s.Dial()
	fill(t, c, func(int) string { return "t/same" })
	if !recovered(c, t, 20*time.Second) {
		t.Fatal("a store that is full of history stays full")
	}
	if kv, ok, err := c.Get(t.Context(), "t/same"); err != nil || !ok || len(kv.Value) != 1<<20 {
		t.Fatalf("what was stored is gone: %v %v", ok, err)
	}
	// What is in use is not removed; when it is deleted there is room again.
	rounds := 0
	for ; rounds < 5; rounds++ {
		fill(t, c, func(i int) string { return fmt.Sprintf("t/%d/%d", rounds, i) })
		if !recovered(c, t, 2500*time.Millisecond) {
			break
		}
	}
	if rounds == 5 {
		t.Error("a store that is full of what is in use takes more and more")
	}
	for i := range 20 {
		etcdtest.Delete(t, c, fmt.Sprintf("t/0/%d", i))
	}
	if !recovered(c, t, 20*time.Second) {
		t.Error("a store from which keys were deleted stays full")
	}
}
