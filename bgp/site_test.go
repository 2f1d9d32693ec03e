package bgp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	lab "tombolo.io/tombolo/deploy/lab/router"
	"tombolo.io/tombolo/internal/control"
)

// patience is how long a test waits for what should take milliseconds.
const patience = time.Minute

// site is a node and two routers on one network, each in a namespace:
//
//	tor1 (10.9.0.254) ─┐
//	                   ├─ br0 node (10.9.0.1)
//	tor2 (10.9.0.253) ─┘
type site struct {
	t     *testing.T
	node  string
	world *world
	// dir is the speaker's run directory.
	dir string
	cmd *exec.Cmd
	log *os.File
	// endAgent ends what answers in the place of the node's agent.
	endAgent func()
}

func newSite(t *testing.T) *site {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces: run it as root")
	}
	name := strings.ToLower(strings.NewReplacer("Test", "", "/", "-").Replace(t.Name()))
	s := &site{t: t, node: fmt.Sprintf("bg%d-%s", os.Getpid(), name), dir: tempDir(t)}
	s.namespace(s.node)
	s.ip("-n " + s.node + " link add br0 type bridge")
	s.ip("-n " + s.node + " link set br0 up")
	s.ip("-n " + s.node + " addr add 10.9.0.1/24 dev br0")
	s.ip("-n " + s.node + " addr add fd00:9::1/64 dev br0 nodad")
	log, err := os.Create(filepath.Join(s.dir, "speaker.log"))
	if err != nil {
		t.Fatal(err)
	}
	s.log = log
	t.Cleanup(func() {
		s.kill()
		log.Close()
		races, _ := filepath.Glob(filepath.Join(s.dir, "race.*"))
		for _, r := range races {
			text, _ := os.ReadFile(r)
			t.Errorf("the speaker races:\n%s", text)
		}
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("log of the speaker:\n%s", text)
		}
	})
	s.world = newWorld(t, filepath.Join(s.dir, "etcd.sock"))
	s.agent(nil)
	return s
}

// tempDir is short, for the sockets in it, and open to other users, for FRR.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (s *site) namespace(name string) {
	s.ip("netns add " + name)
	s.t.Cleanup(func() { exec.Command("ip", "netns", "del", name).Run() })
	s.ip("-n " + name + " link set lo up")
}

func (s *site) ip(args string) string {
	s.t.Helper()
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("ip %s: %v: %s", args, err, out)
	}
	return string(out)
}

// tor is a router whose kernel is watched.
type tor struct {
	s         *site
	namespace string
	// dir is where its daemons have their sockets.
	dir string
	// mu guards what the watching goroutine adds to.
	mu      sync.Mutex
	deleted []netip.Prefix
	// passed is told that the beacon was deleted.
	passed chan struct{}
}

// beacon is a route that no speaker has: it shows how far the watch has come.
var beacon = netip.MustParsePrefix("198.18.255.255/32")

// route starts router n of the site, 1 or 2.
func (s *site) route(n int, kind lab.Kind, c lab.Config) *tor {
	s.t.Helper()
	r := &tor{s: s, namespace: fmt.Sprintf("%s%d", s.node, n), passed: make(chan struct{}, 1)}
	s.namespace(r.namespace)
	dev, host := fmt.Sprintf("tor%d", n), fmt.Sprint(255-n)
	s.ip(fmt.Sprintf("-n %s link add %s type veth peer name eth0 netns %s", s.node, dev, r.namespace))
	s.ip(fmt.Sprintf("-n %s link set %s master br0 up", s.node, dev))
	s.ip(fmt.Sprintf("-n %s link set eth0 up", r.namespace))
	s.ip(fmt.Sprintf("-n %s addr add 10.9.0.%s/24 dev eth0", r.namespace, host))
	s.ip(fmt.Sprintf("-n %s addr add fd00:9::%s/64 dev eth0 nodad", r.namespace, host))
	c.Name, c.Dir, c.ASN, c.NodeASN = dev, tempDir(s.t), 64512, 64513
	r.dir = c.Dir
	c.ID = netip.MustParseAddr("10.9.0." + host)
	c.Nodes = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/24"), netip.MustParsePrefix("fd00:9::/64")}
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	running, err := lab.Start(ctx, kind, c, r.namespace)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := running.Stop(); err != nil {
			s.t.Error(err)
		}
	})
	err = lab.Watch(s.t.Context(), r.namespace, r.saw, func(err error) { s.t.Errorf("watching %s: %v", dev, err) })
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (r *tor) saw(c lab.Change) {
	if c.Deleted && c.Prefix == beacon {
		r.passed <- struct{}{}
	} else if c.Deleted {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.deleted = append(r.deleted, c.Prefix)
	}
}

// lost returns which routes the router's kernel had deleted since it was last
// asked: all of them, though the watch is told a little later.
func (r *tor) lost() []netip.Prefix {
	r.s.t.Helper()
	for _, do := range []string{"add", "del"} {
		r.s.ip(fmt.Sprintf("-n %s route %s blackhole %s proto bgp", r.namespace, do, beacon))
	}
	select {
	case <-r.passed:
	case <-time.After(patience):
		r.s.t.Fatal("the watch of the router's kernel tells nothing")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() { r.deleted = nil }()
	return r.deleted
}

// keeps fails the test if a route was deleted.
func (r *tor) keeps(when string) {
	r.s.t.Helper()
	if lost := r.lost(); len(lost) > 0 {
		r.s.t.Errorf("%s: the router deleted %v", when, lost)
	}
}

// has waits until the router's kernel has exactly these prefixes by way of the node.
func (r *tor) has(want ...string) {
	r.s.t.Helper()
	want = slices.Sorted(slices.Values(want)) // tests that run beside this one have the same
	r.s.until("routes of the router", func() string {
		routes, err := lab.Routes(r.namespace)
		if err != nil {
			r.s.t.Fatal(err)
		}
		got := []string{}
		for _, route := range routes {
			if hops := fmt.Sprint(route.NextHops); hops != "[10.9.0.1]" && hops != "[fd00:9::1]" {
				r.s.t.Fatalf("the router sends %s to %s", route.Prefix, hops)
			}
			got = append(got, route.Prefix.String())
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return fmt.Sprintf("got %v, want %v", got, want)
		}
		return ""
	})
}

// until waits until nothing is wrong any more.
func (s *site) until(what string, wrong func() string) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		last := wrong()
		if last == "" {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: %s", what, last)
		}
		time.Sleep(20 * time.Millisecond) // polls kernels and a process, which tell of no such moment
	}
}

// speak starts the speaker on the node.
func (s *site) speak(edit ...func(*speakerConfig)) {
	s.t.Helper()
	c := speakerConfig{RunDir: s.dir, Store: "unix://" + s.world.socket}
	for _, e := range edit {
		e(&c)
	}
	text, err := json.Marshal(c)
	if err != nil {
		s.t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command("ip", "netns", "exec", s.node, exe, "speaker", string(text))
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.Env = append(os.Environ(), "GORACE=log_path="+filepath.Join(s.dir, "race")) // where the clean-up looks
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// kill ends the speaker as a crash would.
func (s *site) kill() {
	if s.cmd != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.cmd = nil
	}
}

// stop ends the speaker in order.
func (s *site) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("the speaker ended with %v", err)
	}
	s.cmd = nil
}

// ask gets a page of the speaker's.
func ask[T any](s *site, page string) (answer T, err error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	err = control.NewClient(s.dir, Role).Get(ctx, page, &answer)
	return answer, err
}

// peer waits until the session with a router is as the test wants it: ok says
// so of its status.
func (s *site) peer(name, what string, ok func(PeerStatus) bool) PeerStatus {
	s.t.Helper()
	var last PeerStatus
	s.until(name+" "+what, func() string {
		peers, err := ask[[]PeerStatus](s, "/bgp/peers")
		if err != nil {
			return err.Error()
		}
		for _, p := range peers {
			if last = p; p.Name == name && ok(p) {
				return ""
			}
		}
		return fmt.Sprintf("the sessions are %+v", peers)
	})
	return last
}

// complete waits until a router was told everything, and has had the time to
// act on it: it sent two messages since.
func (s *site) complete(name string) {
	s.t.Helper()
	var first PeerStatus
	s.peer(name, "complete", func(p PeerStatus) bool {
		if p.State != "Established" || p.Complete.IsZero() {
			return false
		}
		if !p.Since.Equal(first.Since) {
			first = p
		}
		return p.Received >= first.Received+2
	})
}
