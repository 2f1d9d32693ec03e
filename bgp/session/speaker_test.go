package session

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	api "github.com/osrg/gobgp/v3/api"

	"tombolo.io/tombolo/deploy/lab/router"
	"tombolo.io/tombolo/deploy/lab/router/builtin"
)

// TestMain is also the speaker of a node and the built-in router, when it is
// run as such in a network namespace.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case "speaker":
			os.Exit(child(runSpeaker(os.Args[2])))
		case "router":
			os.Exit(child(runRouter(os.Args[2])))
		}
	}
	os.Exit(m.Run())
}

func child(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func runRouter(conf string) error {
	c, err := router.Load(conf)
	if err != nil {
		return err
	}
	return builtin.Run(context.Background(), c, slog.New(slog.NewTextHandler(os.Stderr, nil)))
}

// speakerConfig is what the speaker of a node is started with.
type speakerConfig struct {
	ASN      uint32 // the router's
	Router   netip.AddrPort
	Source   netip.Addr
	Password string
	Paths    []string
	Restart  bool
	// Mark is the first three bytes of prefixes that the speaker adds as soon as
	// it has told all: the fourth counts sessions. A router that has such a
	// prefix has read the end of our routes before.
	Mark string
}

// session is the session of that speaker.
func (c speakerConfig) session() Config {
	if !c.Router.IsValid() {
		c.Router = netip.MustParseAddrPort("10.9.0.254:179")
	}
	return Config{
		Router: c.Router, ASN: c.ASN, Source: c.Source, Password: c.Password, TTL: 1,
		Server: Server{Addr: netip.MustParseAddrPort("127.0.0.1:1790"), Source: netip.MustParseAddr("127.0.1.1"), Password: "only for loopback"},
	}
}

// told is what it says of a session on a line of its output.
type toldStatus struct {
	State    State
	Reason   string
	Complete bool
}

// runSpeaker runs a GoBGP server and a session until its input ends, and then
// ends the session for good.
func runSpeaker(text string) error {
	var c speakerConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	l, err := startLibrary(ctx, c.session().Server, c.Paths...)
	if err != nil {
		return err
	}
	l.asn, l.restart = c.ASN, c.Restart
	go func() {
		bufio.NewReader(os.Stdin).ReadByte()
		cancel(Shutdown("stopped by the test"))
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		marked := uint64(0)
		for s := range l.changes {
			if c.Mark != "" && !s.Complete.IsZero() && s.Successes > marked {
				marked = s.Successes
				p := netip.MustParsePrefix(fmt.Sprintf("%s.%d/32", c.Mark, marked))
				if _, err := l.AddPath(ctx, &api.AddPathRequest{Path: path(p, "10.9.0.1")}); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			}
			json.NewEncoder(os.Stdout).Encode(toldStatus{s.State, s.Reason, !s.Complete.IsZero()})
		}
	}()
	err = New(c.session(), l, slog.New(slog.NewTextHandler(os.Stderr, nil))).Run(ctx)
	close(l.changes)
	<-done
	return err
}

// speaker is a running speaker.
type speaker struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  interface{ Close() error }
	states chan toldStatus
	ended  sync.Once
}

// speak starts a speaker on the node.
func (n *site) speak(c speakerConfig) *speaker {
	n.t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		n.t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		n.t.Fatal(err)
	}
	s := &speaker{t: n.t, cmd: exec.Command("ip", "netns", "exec", n.node, exe, "speaker", string(text)), states: make(chan toldStatus, 1000)}
	s.cmd.Stderr = n.t.Output()
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		n.t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	go func() {
		for d := json.NewDecoder(out); ; {
			var told toldStatus
			if d.Decode(&told) != nil {
				close(s.states)
				return
			}
			s.states <- told
		}
	}()
	n.t.Cleanup(s.kill)
	return s
}

// kill ends the speaker as a crash would.
func (s *speaker) kill() {
	s.ended.Do(func() {
		s.cmd.Process.Kill()
		s.cmd.Wait()
	})
}

// stop ends the session for good.
func (s *speaker) stop() {
	s.stdin.Close()
	s.await("stopped", func(told toldStatus) bool { return told.State == Stopped })
}

// await returns the next status of which ok is true.
func (s *speaker) await(what string, ok func(toldStatus) bool) toldStatus {
	s.t.Helper()
	deadline := time.After(patience)
	var last toldStatus
	for {
		select {
		case told, running := <-s.states:
			if !running {
				s.t.Fatalf("the speaker ended; last it was %v", last)
			}
			if last = told; ok(told) {
				return told
			}
		case <-deadline:
			s.t.Fatalf("the session was never %s; last it was %v", what, last)
		}
	}
}

// complete waits until the router was told everything.
func (s *speaker) complete() {
	s.t.Helper()
	s.await("complete", func(told toldStatus) bool { return told.State == Established && told.Complete })
}

// site is a router and a node with a wire between them, in namespaces.
type site struct {
	t         *testing.T
	tor, node string
}

func newSite(t *testing.T, name string) *site {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces: run it as root")
	}
	prefix := fmt.Sprintf("bs%d-%s-", os.Getpid(), name)
	n := &site{t, prefix + "tor", prefix + "node"}
	for _, ns := range []string{n.tor, n.node} {
		n.ip("netns add " + ns)
		t.Cleanup(func() { exec.Command("ip", "netns", "del", ns).Run() })
		n.ip("-n " + ns + " link set lo up")
	}
	n.ip("-n " + n.tor + " link add node type veth peer name eth0 netns " + n.node)
	for _, side := range []struct{ ns, dev, host string }{{n.tor, "node", "254"}, {n.node, "eth0", "1"}} {
		n.ip("-n " + side.ns + " link set " + side.dev + " up")
		n.ip("-n " + side.ns + " addr add 10.9.0." + side.host + "/24 dev " + side.dev)
		n.ip("-n " + side.ns + " addr add fd00:9::" + side.host + "/64 dev " + side.dev + " nodad")
	}
	return n
}

func (n *site) ip(args string) {
	n.t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

// cut resets the node's TCP connection with the router, at both ends.
func (n *site) cut() {
	n.t.Helper()
	out, err := exec.Command("ip", "netns", "exec", n.node, "ss", "-K", "dst", "10.9.0.254").CombinedOutput()
	if err != nil {
		n.t.Fatalf("ss -K: %v: %s", err, out)
	}
}

// route starts the router.
func (n *site) route(kind router.Kind, c router.Config) {
	n.t.Helper()
	dir, err := os.MkdirTemp("", "bs")
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // FRR has a user of its own
		n.t.Fatal(err)
	}
	c.Name, c.Dir, c.ASN, c.ID = "tor", dir, 64512, netip.MustParseAddr("10.9.0.254")
	c.Nodes = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/24"), netip.MustParsePrefix("fd00:9::/64")}
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	r, err := router.Start(ctx, kind, c, n.tor)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		if err := r.Stop(); err != nil {
			n.t.Error(err)
		}
		if n.t.Failed() {
			logs, _ := exec.Command("sh", "-c", "tail -n 30 "+dir+"/*.log").Output()
			n.t.Logf("logs of the router:\n%s", logs)
		}
	})
}

// await waits until the router's kernel has so many routes.
func (n *site) await(want int) {
	n.t.Helper()
	n.until(fmt.Sprintf("%d routes in the router's kernel", want), func() (string, bool) {
		got, err := router.Routes(n.tor)
		if err != nil {
			n.t.Fatal(err)
		}
		return fmt.Sprintf("%d routes", len(got)), len(got) == want
	})
}

// until waits for something that no event tells, and says what it saw last.
func (n *site) until(what string, seen func() (string, bool)) {
	n.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		saw, done := seen()
		if done {
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("waiting for %s: saw %s", what, saw)
		}
		time.Sleep(10 * time.Millisecond) // polls the kernel
	}
}
