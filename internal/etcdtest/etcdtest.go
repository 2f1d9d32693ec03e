// Package etcdtest gives tests a real etcd, and a wire to it that can be cut.
package etcdtest

import (
	"context"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/etcd/embedded"
)

// EpochKey is where the test's stores have their epoch.
const EpochKey = "t/epoch"

// Store is a server that a test stops and starts, always at the same address.
type Store struct {
	t      testing.TB
	Config embedded.Config
	server *embedded.Server
	// clients are connected with the store itself.
	clients []*etcd.Client
}

// Log returns a logger that is silent, or with VERBOSE set goes to stderr.
func Log() *slog.Logger {
	if os.Getenv("VERBOSE") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	return slog.New(slog.DiscardHandler)
}

// New starts an empty store, which ends with the test.
func New(t testing.TB) *Store {
	t.Helper()
	return start(t, embedded.Config{Listen: []string{"http://" + Address(t)}})
}

// Secure starts an empty store with mutual TLS and users.
func Secure(t testing.TB, server etcd.TLSFiles, users []embedded.User) *Store {
	t.Helper()
	return start(t, embedded.Config{Listen: []string{"https://" + Address(t)}, TLS: server, Users: users})
}

func start(t testing.TB, cfg embedded.Config) *Store {
	t.Helper()
	cfg.Dir, cfg.EpochKey = t.TempDir(), EpochKey
	s := &Store{t: t, Config: cfg}
	t.Cleanup(s.Stop)
	s.Start()
	return s
}

// Address returns a loopback address that is free now.
func Address(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Start starts the store, and returns when its clients are connected with it again: they
// may be in a pause between two attempts, and a write fails then.
func (s *Store) Start() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server, err := embedded.Start(ctx, s.Config, Log())
	if err != nil {
		s.t.Fatal(err)
	}
	s.server = server
	for _, c := range s.clients {
		_ = c.Answers(ctx) // one that was closed never is
	}
}

// Stop stops the store, if it runs.
func (s *Store) Stop() {
	if s.server != nil {
		s.server.Stop()
		s.server = nil
	}
}

// Copy stops the store, starts it again, and returns a function that starts it
// with a copy of the data that it had here: the same identity, the same epoch.
func (s *Store) Copy() (back func()) {
	s.t.Helper()
	s.Stop()
	backup := s.t.TempDir()
	if err := os.CopyFS(backup, os.DirFS(s.Config.Dir)); err != nil {
		s.t.Fatal(err)
	}
	s.Start()
	return func() {
		s.Stop()
		s.Config.Dir = backup
		s.Start()
	}
}

// Address returns the address at which the store listens.
func (s *Store) Address() string {
	_, address, _ := strings.Cut(s.Config.Listen[0], "://")
	return address
}

// Dial returns a client of the store, by way of another address if one is given.
func (s *Store) Dial(by ...string) *etcd.Client {
	s.t.Helper()
	url := s.Config.Listen[0]
	if len(by) > 0 {
		url = "http://" + by[0]
	}
	c, err := etcd.Dial(etcd.Config{Endpoints: []string{url}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	if len(by) == 0 {
		s.clients = append(s.clients, c)
	}
	return c
}

// Put writes keys and values, by turns, each in a transaction of its own.
func Put(t testing.TB, c *etcd.Client, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if err := c.Put(t.Context(), pairs[i], []byte(pairs[i+1])); err != nil {
			t.Fatal(err)
		}
	}
}

// Delete deletes keys.
func Delete(t testing.TB, c *etcd.Client, keys ...string) {
	t.Helper()
	for _, k := range keys {
		if err := c.Delete(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
}
