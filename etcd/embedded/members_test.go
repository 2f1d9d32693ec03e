package embedded_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/etcd/embedded"
	"tombolo.io/tombolo/internal/etcdtest"
)

// members are those of a store, each a real server in this process.
type members struct {
	t *testing.T
	// files are the certificates of each user, made once: servers read them again
	// and again.
	files   map[string]etcd.TLSFiles
	configs map[string]embedded.Config
	servers map[string]*embedded.Server
}

// newMembers names three members; none runs.
func newMembers(t *testing.T) *members {
	ca := etcdtest.NewCA(t)
	m := &members{t: t, files: map[string]etcd.TLSFiles{}, configs: map[string]embedded.Config{}, servers: map[string]*embedded.Server{}}
	for _, user := range []string{"etcd", "root", "node", "peer"} {
		m.files[user] = ca.Issue(user)
	}
	urls := map[string]string{}
	for _, name := range []string{"a", "b", "c"} {
		urls[name] = "https://" + etcdtest.Address(t)
	}
	for name := range urls {
		m.configs[name] = embedded.Config{
			Dir: t.TempDir(), Listen: []string{"https://" + etcdtest.Address(t)}, TLS: m.files["etcd"],
			EpochKey: etcdtest.EpochKey, Users: embedded.Tombolo("t/"),
			Cluster: embedded.Cluster{Name: name, Members: urls, Root: m.files["root"]},
		}
	}
	t.Cleanup(func() { m.stop("a", "b", "c") })
	return m
}

// start starts members, all at once, and waits until they serve.
func (m *members) start(names ...string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	started, errs := make([]*embedded.Server, len(names)), make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() {
			started[i], errs[i] = embedded.Start(ctx, m.configs[name], etcdtest.Log().With("member", name))
		})
	}
	all.Wait()
	for i, name := range names {
		if started[i] != nil {
			m.servers[name] = started[i]
		}
	}
	if err := errors.Join(errs...); err != nil {
		m.t.Fatal(err)
	}
}

func (m *members) stop(names ...string) {
	var all sync.WaitGroup
	for _, name := range names {
		if s := m.servers[name]; s != nil {
			all.Go(s.Stop)
		}
		delete(m.servers, name)
	}
	all.Wait()
}

// lose takes a member's disk away.
func (m *members) lose(name string) {
	m.t.Helper()
	if err := os.RemoveAll(m.configs[name].Dir); err != nil {
		m.t.Fatal(err)
	}
}

// client is a user's at some members.
func (m *members) client(user string, names ...string) *etcd.Client {
	m.t.Helper()
	config, err := m.files[user].Client()
	if err != nil {
		m.t.Fatal(err)
	}
	cfg := etcd.Config{TLS: config}
	for _, name := range names {
		cfg.Endpoints = append(cfg.Endpoints, m.configs[name].Listen...)
	}
	c, err := etcd.Dial(cfg)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { c.Close() })
	return c
}

// agree waits until each of these members has this value for a key: one that
// has just come back may have to find the leader first.
func (m *members) agree(key, want string, names ...string) {
	m.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for _, name := range names {
		c := m.client("root", name)
		for end := time.Now().Add(time.Minute); ; <-tick.C {
			kv, _, err := c.Get(m.t.Context(), key)
			if err == nil && string(kv.Value) == want {
				break
			}
			if time.Now().After(end) {
				m.t.Fatalf("%s at %s is %q, %v; want %q", key, name, kv.Value, err, want)
			}
		}
	}
}

// voters are the names of those who vote, as a member tells it.
func (m *members) voters(at string) []string {
	m.t.Helper()
	list, err := m.client("root", at).Raw().MemberList(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	var names []string
	for _, one := range list.Members {
		if !one.IsLearner {
			names = append(names, one.Name)
		}
	}
	slices.Sort(names)
	return names
}

// refuses starts a member that must not come up, and returns what it says.
func (m *members) refuses(name string, within time.Duration) error {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), within)
	defer cancel()
	s, err := embedded.Start(ctx, m.configs[name], etcdtest.Log())
	if err == nil {
		s.Stop()
		m.t.Fatalf("%s started", name)
	}
	return err
}

// Three members found a store, and one after the other is away, loses its disk
// and is one of them again.
func TestThreeMembers(t *testing.T) {
	m := newMembers(t)
	m.keepStrangersOutWhileOneWaits()
	t0 := time.Now()
	m.start("a", "b", "c")
	t.Logf("three new members served after %v", time.Since(t0))
	if got := m.voters("b"); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Fatalf("voters %v", got)
	}
	all := m.client("root", "a", "b", "c")
	epoch, ok, err := all.Get(t.Context(), etcdtest.EpochKey)
	if err != nil || !ok {
		t.Fatalf("the new store has no epoch: %v", err)
	}
	etcdtest.Put(t, m.client("root", "a"), "t/x", "1")
	m.agree("t/x", "1", "a", "b", "c")
	for _, name := range []string{"a", "b", "c"} {
		if err := m.client("node", name).Put(t.Context(), "t/export/x", []byte("1")); err == nil {
			t.Errorf("node writes what it may not at %s", name)
		}
	}

	// One after the other is away and comes back with its disk, then without.
	for _, name := range []string{"a", "b", "c"} {
		others := slices.DeleteFunc([]string{"a", "b", "c"}, func(n string) bool { return n == name })
		m.stop(name)
		etcdtest.Put(t, m.client("root", others...), "t/x", "without "+name)
		m.start(name)
		m.agree("t/x", "without "+name, "a", "b", "c")
		m.stop(name)
		m.lose(name)
		etcdtest.Put(t, m.client("root", others...), "t/x", name+" lost its disk")
		t0 = time.Now()
		m.start(name)
		t.Logf("%s, which lost its disk, served after %v", name, time.Since(t0))
		m.agree("t/x", name+" lost its disk", "a", "b", "c")
		if got := m.voters(name); !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Errorf("after %s lost its disk the voters are %v", name, got)
		}
	}
	m.agree(etcdtest.EpochKey, string(epoch.Value), "a", "b", "c")

	// Alone none of them is a store; all together they are the same again.
	m.stop("a", "b", "c")
	if err := m.refuses("a", 2*time.Second); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one of three: %v", err)
	}

	// The one that founds stores does not, having lost its disk while the others
	// are away; another finds half of what it began as a learner.
	m.lose("a")
	if err := m.refuses("a", time.Second); !strings.Contains(err.Error(), "only while all members are there; away: b") {
		t.Errorf("it waits for something else: %v", err)
	}
	m.start("a", "b", "c")
	m.stop("c")
	m.spoil("c")
	m.start("c")
	m.agree("t/x", "c lost its disk", "a", "b", "c")
	m.agree(etcdtest.EpochKey, string(epoch.Value), "a", "b", "c")
	m.keepStrangersOut()
}

// spoil makes of a member's data what a start as a learner leaves that was cut
// short.
func (m *members) spoil(name string) {
	m.t.Helper()
	dir := m.configs[name].Dir
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "joining"), nil, 0o600),
		os.Truncate(filepath.Join(dir, "member", "snap", "db"), 100)); err != nil {
		m.t.Fatal(err)
	}
}

// A store of one grows to three and is the same store; new roles reach it.
func TestOneBecomesThree(t *testing.T) {
	m := newMembers(t)
	alone := m.configs["a"]
	alone.Cluster = embedded.Cluster{}
	s, err := embedded.Start(t.Context(), alone, etcdtest.Log())
	if err != nil {
		t.Fatal(err)
	}
	epoch, _, err := m.client("root", "a").Get(t.Context(), etcdtest.EpochKey)
	s.Stop()
	if err != nil {
		t.Fatal(err)
	}
	m.start("a", "b", "c")
	m.agree(etcdtest.EpochKey, string(epoch.Value), "a", "b", "c")
	if got := m.voters("b"); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("voters %v", got)
	}
	m.stop("b")
	changed := m.configs["b"]
	changed.Users = []embedded.User{{Name: "node", Read: []string{"t/export/"}}}
	m.configs["b"] = changed
	m.start("b")
	if _, _, err := m.client("node", "a").Get(t.Context(), "t/private/x"); err == nil {
		t.Error("node reads what it may no more")
	}
	if _, _, err := m.client("peer", "a").Get(t.Context(), "t/export/x"); err == nil {
		t.Error("a removed user reads")
	}
}

// ask asks at a's port for members, with a user's certificate.
func (m *members) ask(user string) error {
	m.t.Helper()
	config, err := m.files[user].Client()
	if err != nil {
		m.t.Fatal(err)
	}
	c := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	resp, err := c.Get(m.configs["a"].Cluster.Members["a"] + "/members")
	if err == nil {
		resp.Body.Close()
	}
	return err
}

// keepStrangersOutWhileOneWaits: who is no member does not come in at the port
// of one that has no data yet.
func (m *members) keepStrangersOutWhileOneWaits() {
	t := m.t
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { _, err := embedded.Start(ctx, m.configs["a"], etcdtest.Log()); over <- err }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for m.ask("etcd") != nil {
		select {
		case err := <-over:
			t.Fatalf("it ended before it answered members: %v", err)
		case <-tick.C:
		}
	}
	if m.ask("node") == nil || m.ask("root") == nil {
		t.Error("a user comes in while the member waits")
	}
	cancel()
	if err := <-over; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}

// keepStrangersOut: nor where etcd serves; and no member has a user's name.
func (m *members) keepStrangersOut() {
	t := m.t
	t.Helper()
	if err := m.ask("etcd"); err != nil {
		t.Errorf("a member is not let in: %v", err)
	}
	if m.ask("node") == nil || m.ask("root") == nil {
		t.Error("a user comes in")
	}
	m.stop("a")
	wrong := m.configs["a"]
	wrong.TLS = m.files["node"]
	m.configs["a"] = wrong
	if err := m.refuses("a", 5*time.Second); !strings.Contains(err.Error(), `common name "node"`) {
		t.Errorf("a member with a user's certificate: %v", err)
	}
}
