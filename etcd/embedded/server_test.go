package embedded_test

import (
	"testing"
	"time"

	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/etcd/embedded"
	"tombolo.io/tombolo/internal/etcdtest"
)

func TestStartTwice(t *testing.T) {
	t0 := time.Now()
	s := etcdtest.New(t)
	t.Logf("new store served after %v", time.Since(t0))
	c := s.Dial()
	epoch, ok, err := c.Get(t.Context(), etcdtest.EpochKey)
	if err != nil || !ok || len(epoch.Value) < 20 {
		t.Fatalf("epoch of a new store: %+v %v %v", epoch, ok, err)
	}
	etcdtest.Put(t, c, "t/a", "1")
	t0 = time.Now()
	s.Stop()
	t.Logf("stopped after %v", time.Since(t0))
	t0 = time.Now()
	s.Start()
	t.Logf("old store served after %v", time.Since(t0))
	again, _, err := c.Get(t.Context(), etcdtest.EpochKey)
	if err != nil || string(again.Value) != string(epoch.Value) {
		t.Fatalf("epoch after a restart: %q, want %q (%v)", again.Value, epoch.Value, err)
	}
	if kv, ok, err := c.Get(t.Context(), "t/a"); err != nil || !ok || string(kv.Value) != "1" {
		t.Fatalf("data after a restart: %+v %v %v", kv, ok, err)
	}
}

func TestValidate(t *testing.T) {
	good := embedded.Config{Dir: "/d", Listen: []string{"https://127.0.0.1:1"}, EpochKey: "e", TLS: etcd.TLSFiles{CA: "a", Cert: "b", Key: "c"}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*embedded.Config){
		"no directory":     func(c *embedded.Config) { c.Dir = "" },
		"no address":       func(c *embedded.Config) { c.Listen = nil },
		"no epoch":         func(c *embedded.Config) { c.EpochKey = "" },
		"half of TLS":      func(c *embedded.Config) { c.TLS.Key = "" },
		"https without":    func(c *embedded.Config) { c.TLS = etcd.TLSFiles{} },
		"http with":        func(c *embedded.Config) { c.Listen = []string{"http://127.0.0.1:1"} },
		"another protocol": func(c *embedded.Config) { c.Listen = []string{"tcp://127.0.0.1:1"} },
	} {
		c := good
		change(&c)
		if c.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
