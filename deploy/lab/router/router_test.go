package router_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tombolo.io/tombolo/deploy/lab/router"
	"tombolo.io/tombolo/deploy/lab/router/builtin"
)

// TestMain is the built-in router's command when it is run as `router
// FILE`, which is how the setup runs this program.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "router" {
		os.Exit(runBuiltin(os.Args[2]))
	}
	os.Exit(m.Run())
}

func runBuiltin(conf string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c, err := router.Load(conf)
	if err == nil {
		err = builtin.Run(ctx, c, slog.New(slog.NewTextHandler(os.Stdout, nil)))
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// net is a network for one test: tor and peer are linked, and two nodes hang
// on a bridge of tor's.
//
//	n1 (10.9.0.1) ─┐
//	               ├─ br0 tor (10.9.0.254) ── 10.9.1.0/31 ── peer
//	n2 (10.9.0.2) ─┘
type network struct {
	t      *testing.T
	prefix string
}

var networks atomic.Int32

func newNetwork(t *testing.T) *network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces: run it as root")
	}
	n := &network{t, fmt.Sprintf("rt%d-%d-", os.Getpid(), networks.Add(1))}
	for _, name := range []string{"tor", "peer", "n1", "n2"} {
		n.ip("netns", "add", n.ns(name))
		t.Cleanup(func() { exec.Command("ip", "netns", "del", n.ns(name)).Run() })
		n.in(name, "link", "set", "lo", "up")
	}
	n.in("tor", "link", "add", "br0", "type", "bridge")
	n.in("tor", "link", "set", "br0", "up")
	n.in("tor", "addr", "add", "10.9.0.254/24", "dev", "br0")
	n.in("tor", "addr", "add", "fd00:9::fe/64", "dev", "br0", "nodad")
	for i, name := range []string{"n1", "n2"} {
		n.in("tor", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", n.ns(name))
		n.in("tor", "link", "set", name, "master", "br0", "up")
		n.in(name, "link", "set", "eth0", "up")
		n.in(name, "addr", "add", fmt.Sprintf("10.9.0.%d/24", i+1), "dev", "eth0")
		n.in(name, "addr", "add", fmt.Sprintf("fd00:9::%d/64", i+1), "dev", "eth0", "nodad")
	}
	n.in("tor", "link", "add", "peer", "type", "veth", "peer", "name", "tor", "netns", n.ns("peer"))
	n.in("tor", "link", "set", "peer", "up")
	n.in("tor", "addr", "add", "10.9.1.0/31", "dev", "peer")
	n.in("tor", "addr", "add", "fd00:9:1::/127", "dev", "peer", "nodad")
	n.in("peer", "link", "set", "tor", "up")
	n.in("peer", "addr", "add", "10.9.1.1/31", "dev", "tor")
	n.in("peer", "addr", "add", "fd00:9:1::1/127", "dev", "tor", "nodad")
	return n
}

func (n *network) ns(name string) string { return n.prefix + name }

func (n *network) in(name string, args ...string) {
	n.ip(append([]string{"-n", n.ns(name)}, args...)...)
}

func (n *network) ip(args ...string) {
	n.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func (n *network) start(kind router.Kind, name string, c router.Config) *router.Running {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), time.Minute)
	defer cancel()
	c.Name, c.Dir = name, n.dir()
	r, err := router.Start(ctx, kind, c, n.ns(name))
	if err != nil {
		n.t.Fatalf("%v", err)
	}
	n.t.Cleanup(func() {
		if err := r.Stop(); err != nil {
			n.t.Errorf("stopping %s: %v", name, err)
		}
		if n.t.Failed() {
			logs, _ := exec.Command("sh", "-c", "tail -n 40 "+c.Dir+"/*.log").Output()
			n.t.Logf("logs of %s:\n%s", name, logs)
		}
	})
	return r
}

// dir returns a directory that FRR's user can reach, which t.TempDir is not.
func (n *network) dir() string {
	n.t.Helper()
	dir, err := os.MkdirTemp("", "rt")
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		n.t.Fatal(err)
	}
	return dir
}

// await waits until the kernel has exactly these routes.
func (n *network) await(name string, want ...string) {
	n.t.Helper()
	n.awaitFor(time.Minute, name, want...)
}

func (n *network) awaitFor(patience time.Duration, name string, want ...string) {
	n.t.Helper()
	deadline := time.Now().Add(patience)
	var got []string
	for time.Now().Before(deadline) {
		if got = n.routes(name); slices.Equal(got, want) {
			return
		}
		time.Sleep(20 * time.Millisecond) // polls the kernel; no event tells that routes are complete
	}
	n.t.Fatalf("routes of %s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
}

func (n *network) routes(name string) []string {
	n.t.Helper()
	all, err := router.Routes(n.ns(name))
	if err != nil {
		n.t.Fatal(err)
	}
	var out []string
	for _, r := range all {
		out = append(out, strings.Trim(fmt.Sprint(r.Prefix, " ", r.NextHops), " "))
	}
	return out
}

func addrs(s ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, x := range s {
		out = append(out, netip.MustParsePrefix(x))
	}
	return out
}

var (
	tor = router.Config{ASN: 65001, ID: netip.MustParseAddr("10.9.0.254"), NodeASN: 64513,
		Nodes: addrs("10.9.0.0/24", "fd00:9::/64"),
		Links: []router.Link{
			{ASN: 65002, Local: netip.MustParseAddr("10.9.1.0"), Remote: netip.MustParseAddr("10.9.1.1")},
			{ASN: 65002, Local: netip.MustParseAddr("fd00:9:1::"), Remote: netip.MustParseAddr("fd00:9:1::1")},
		}}
	peer = router.Config{ASN: 65002, ID: netip.MustParseAddr("10.9.1.1"),
		Networks: addrs("192.0.2.0/24", "2001:db8:2::/48"),
		Links: []router.Link{
			{ASN: 65001, Local: netip.MustParseAddr("10.9.1.1"), Remote: netip.MustParseAddr("10.9.1.0")},
			{ASN: 65001, Local: netip.MustParseAddr("fd00:9:1::1"), Remote: netip.MustParseAddr("fd00:9:1::")},
		}}
)

// node is a node as a router sees it: here another built-in router.
func node(i int, networks ...string) router.Config {
	local := netip.MustParseAddr(fmt.Sprintf("10.9.0.%d", i))
	return router.Config{ASN: 64513, ID: local, Networks: addrs(networks...), RestartTime: 3 * time.Second,
		Links: []router.Link{
			{ASN: 65001, Local: local, Remote: netip.MustParseAddr("10.9.0.254")},
			{ASN: 65001, Local: netip.MustParseAddr(fmt.Sprintf("fd00:9::%d", i)), Remote: netip.MustParseAddr("fd00:9::fe")},
		}}
}

func TestRouters(t *testing.T) {
	for _, kind := range []router.Kind{router.Builtin, router.FRR, router.BIRD} {
		t.Run(string(kind), func(t *testing.T) { testRouter(t, kind) })
	}
}

func testRouter(t *testing.T, kind router.Kind) {
	t.Parallel() // it waits most of the time
	n := newNetwork(t)
	n.start(kind, "tor", tor)
	n.start(kind, "peer", peer)
	n.start(router.Builtin, "n1", node(1, "10.8.1.0/24", "203.0.113.7/32", "2001:db8:7::7/128"))
	n2 := n.start(router.Builtin, "n2", node(2, "203.0.113.7/32", "2001:db8:7::7/128"))
	n.await("tor", "10.8.1.0/24 [10.9.0.1]", "192.0.2.0/24 [10.9.1.1]", "203.0.113.7/32 [10.9.0.1 10.9.0.2]",
		"2001:db8:2::/48 [fd00:9:1::1]", "2001:db8:7::7/128 [fd00:9::1 fd00:9::2]")
	n.await("peer", "10.8.1.0/24 [10.9.1.0]", "203.0.113.7/32 [10.9.1.0]", "2001:db8:7::7/128 [fd00:9:1::]")

	// A node that takes leave is gone; one that is killed is kept for as long
	// as it said that its restart would take.
	if err := n2.Stop(); err != nil {
		t.Fatal(err)
	}
	n.await("tor", "10.8.1.0/24 [10.9.0.1]", "192.0.2.0/24 [10.9.1.1]", "203.0.113.7/32 [10.9.0.1]",
		"2001:db8:2::/48 [fd00:9:1::1]", "2001:db8:7::7/128 [fd00:9::1]")
}

// TestRetention kills a node that announced a restart time of 3 seconds.
func TestRetention(t *testing.T) {
	for _, kind := range []router.Kind{router.Builtin, router.FRR, router.BIRD} {
		t.Run(string(kind), func(t *testing.T) { testRetention(t, kind) })
	}
}

func testRetention(t *testing.T, kind router.Kind) {
	t.Parallel() // it waits most of the time
	n := newNetwork(t)
	n.start(kind, "tor", tor)
	killed := n.start(router.Builtin, "n1", node(1, "10.8.1.0/24", "2001:db8:7::7/128"))
	n.await("tor", "10.8.1.0/24 [10.9.0.1]", "2001:db8:7::7/128 [fd00:9::1]")

	changes := make(chan router.Change, 16)
	err := router.Watch(t.Context(), n.ns("tor"), func(c router.Change) { changes <- c },
		func(err error) { t.Errorf("watching: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now() // not later than its end
	if err := killed.Kill(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		select {
		case c := <-changes:
			if took := time.Since(start); !c.Deleted || took < 2*time.Second {
				t.Errorf("%v after %v: want it deleted after 3s", c, took)
			}
		case <-time.After(time.Minute):
			t.Fatalf("stale routes stay for ever: %v", n.routes("tor"))
		}
	}
}

// TestSilence cuts the link to a node and to a router that would keep their routes for
// two minutes if they restarted.
func TestSilence(t *testing.T) {
	for _, kind := range []router.Kind{router.Builtin, router.FRR, router.BIRD} {
		t.Run(string(kind), func(t *testing.T) { testSilence(t, kind) })
	}
}

func testSilence(t *testing.T, kind router.Kind) {
	t.Parallel() // it waits most of the time
	n := newNetwork(t)
	short := tor
	short.HoldTime = 3 * time.Second
	n.start(kind, "tor", short)
	n.start(kind, "peer", peer)
	silent := node(1, "10.8.1.0/24", "2001:db8:7::7/128")
	silent.RestartTime = 2 * time.Minute
	n.start(router.Builtin, "n1", silent)
	all := []string{"10.8.1.0/24 [10.9.0.1]", "192.0.2.0/24 [10.9.1.1]", "2001:db8:2::/48 [fd00:9:1::1]", "2001:db8:7::7/128 [fd00:9::1]"}
	n.await("tor", all...)

	n.in("n1", "link", "set", "eth0", "down")
	n.await("tor", all[1], all[2])
	n.in("peer", "link", "set", "tor", "down")
	n.await("tor")

	// They come back as anybody does. GoBGP, told that the hold timer expired, hears
	// nobody for half a minute.
	n.in("n1", "link", "set", "eth0", "up")
	n.in("n1", "addr", "replace", "fd00:9::1/64", "dev", "eth0", "nodad")
	n.in("peer", "link", "set", "tor", "up")
	n.in("peer", "addr", "replace", "fd00:9:1::1/127", "dev", "tor", "nodad")
	n.awaitFor(2*time.Minute, "tor", all...)
}

// What FRR's daemons leave when they are killed goes with them.
func TestKilledDaemonsLeaveNothing(t *testing.T) {
	n := newNetwork(t)
	r := n.start(router.FRR, "tor", tor)
	pids, err := exec.Command("ip", "netns", "pids", n.ns("tor")).Output()
	if err != nil {
		t.Fatal(err)
	}
	// Others' daemons, of tests that run beside this one, come and go there too.
	left := func() (all []string) {
		for pid := range strings.FieldsSeq(string(pids)) {
			dirs, err := filepath.Glob("/var/tmp/frr/*." + pid)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, dirs...)
		}
		return all
	}
	if len(left()) == 0 {
		t.Fatal("FRR makes no directories any more: Forget looks in the wrong place")
	}
	if err := r.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range left() {
		t.Errorf("%s is left", dir)
	}
}
