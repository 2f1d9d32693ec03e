package embedded_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/etcd/embedded"
	"tombolo.io/tombolo/internal/etcdtest"
)

// secure returns a store with mutual TLS and Tombolo's users, below t/.
func secure(t *testing.T) (*etcdtest.Store, *etcdtest.CA) {
	ca := etcdtest.NewCA(t)
	s := etcdtest.Secure(t, ca.Issue("server"), embedded.Tombolo("t/"))
	return s, ca
}

func dial(t *testing.T, s *etcdtest.Store, files etcd.TLSFiles) *etcd.Client {
	t.Helper()
	config, err := files.Client()
	if err != nil {
		t.Fatal(err)
	}
	c, err := etcd.Dial(etcd.Config{Endpoints: s.Config.Listen, TLS: config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestUsersMayOnlyWhatTheyMay(t *testing.T) {
	s, ca := secure(t)
	root := dial(t, s, ca.Issue("root"))
	etcdtest.Put(t, root, "t/export/a", "1", "t/private/a", "2", "t/mirror/w/a", "3")
	users := map[string]*etcd.Client{
		"root": root, "node": dial(t, s, ca.Issue("node")), "peer": dial(t, s, ca.Issue("peer")), "mallory": dial(t, s, ca.Issue("mallory")),
	}
	for _, c := range []struct {
		key          string
		reads, write string
	}{
		{"t/epoch", "root node peer", "root"},
		{"t/export/a", "root node peer", "root"},
		{"t/private/a", "root node", "root"},
		{"t/mirror/w/a", "root node", "root"},
		{"t/status/agent/n", "root node", "root node"},
		{"elsewhere", "root", "root"},
	} {
		for name, client := range users {
			_, _, err := client.Get(t.Context(), c.key)
			if may := strings.Contains(c.reads, name); may != (err == nil) {
				t.Errorf("%s reads %s: %v", name, c.key, err)
			}
			err = client.Put(t.Context(), c.key, []byte("x"))
			if may := strings.Contains(c.write, name); may != (err == nil) {
				t.Errorf("%s writes %s: %v", name, c.key, err)
			}
		}
	}
	// A prefix that is partly allowed is not allowed.
	_, err := users["peer"].List(t.Context(), "t/", func(etcd.KV) error { return nil })
	if err == nil {
		t.Fatal("peer lists everything")
	}
	if why := users["peer"].Explain(t.Context(), err).Error(); !strings.Contains(why, s.Config.Listen[0]+": listing t/: ") || !strings.Contains(why, "permission denied (the common name of our certificate is our user there") {
		t.Errorf("what it may not is explained as %s", why)
	}
	if _, err := users["peer"].List(t.Context(), "t/export/", func(etcd.KV) error { return nil }); err != nil {
		t.Errorf("peer lists export/: %v", err)
	}
}

func TestPeerWatchesWhatItMay(t *testing.T) {
	s, ca := secure(t)
	etcdtest.Put(t, dial(t, s, ca.Issue("root")), "t/export/a", "1")
	peer := dial(t, s, ca.Issue("peer"))
	for prefix, may := range map[string]bool{"t/export/": true, "t/private/": false} {
		ctx, cancel := context.WithCancel(t.Context())
		out := make(chan etcd.Batch[string])
		table := etcd.Table[string]{Prefix: prefix, Decode: func(_ string, v []byte) (string, error) { return string(v), nil }}
		done := make(chan error, 1)
		go func() { done <- table.Watch(ctx, peer, etcdtest.Log(), out) }()
		select {
		case b := <-out:
			if may != (b.Err == nil && len(b.Events) == 1) {
				t.Errorf("watching %s: %+v", prefix, b)
			}
		case <-time.After(time.Minute):
			t.Errorf("watching %s: nothing comes", prefix)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

func TestStrangersAreRefused(t *testing.T) {
	s, _ := secure(t)
	stranger := etcdtest.NewCA(t).Issue("root")
	c := dial(t, s, stranger)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, _, err := c.Get(ctx, "t/epoch"); err == nil {
		t.Error("a certificate of another authority was accepted")
	}
}

func TestUsersChange(t *testing.T) {
	s, ca := secure(t)
	root, node := dial(t, s, ca.Issue("root")), dial(t, s, ca.Issue("node"))
	before, _, err := root.Get(t.Context(), etcdtest.EpochKey)
	if err != nil {
		t.Fatal(err)
	}
	s.Stop()
	s.Config.Users = []embedded.User{{Name: "node", Read: []string{"t/export/"}}}
	s.Start()
	if _, _, err := node.Get(t.Context(), "t/export/a"); err != nil {
		t.Error(err)
	}
	if _, _, err := node.Get(t.Context(), "t/private/a"); err == nil {
		t.Error("node reads what it may no more")
	}
	after, _, err := root.Get(t.Context(), etcdtest.EpochKey)
	if err != nil || string(after.Value) != string(before.Value) {
		t.Errorf("the epoch changed with the users: %v", err)
	}
	peer := dial(t, s, ca.Issue("peer"))
	if _, _, err := peer.Get(t.Context(), "t/export/a"); err == nil {
		t.Error("a removed user reads")
	}
}

// An external store is given the users, and keeps those that it has besides.
func TestGrant(t *testing.T) {
	ca := etcdtest.NewCA(t)
	s := etcdtest.Secure(t, ca.Issue("server"), []embedded.User{{Name: "tenant", Read: []string{"elsewhere/"}}})
	root := dial(t, s, ca.Issue("root"))
	for range 2 {
		if err := embedded.Grant(t.Context(), root, embedded.Tombolo("t/")); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, key string
		may       bool
	}{
		{"node", "t/private/a", true}, {"peer", "t/export/a", true}, {"peer", "t/private/a", false}, {"node", "elsewhere/a", false},
		{"tenant", "elsewhere/a", true}, {"tenant", "t/export/a", false},
	} {
		if _, _, err := dial(t, s, ca.Issue(c.name)).Get(t.Context(), c.key); (err == nil) != c.may {
			t.Errorf("%s reads %s: %v", c.name, c.key, err)
		}
	}
}
