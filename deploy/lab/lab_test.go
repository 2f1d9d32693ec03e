package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/deploy/lab/echo"
	"tombolo.io/tombolo/deploy/lab/plan"
	"tombolo.io/tombolo/deploy/lab/sandbox"
	"tombolo.io/tombolo/internal/program"
)

// binary is the real program, built once.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "tombolo-labtest")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "tombolo")
		if err := program.Build(context.Background(), binary); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// base makes a directory for labs, short enough for sockets, which the last
// lab takes with it.
func base(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/run", "tombolo-lt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// newLab plans a lab of this test's process, and takes it down at the end.
func newLab(t *testing.T, base, name string) *Lab {
	t.Helper()
	l, err := New(base, binary, plan.Config{Lab: fmt.Sprintf("%s%d", name, os.Getpid()), Clusters: 2, Nodes: 1, Pods: 2, Router: "builtin"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Down(context.Background(), base, l.Lab); err != nil && !errors.Is(err, ErrNoLab) {
			t.Error(err)
		}
		nothingLeft(t, l)
	})
	return l
}

// nothingLeft looks at the kernel for whatever bears the lab's name.
func nothingLeft(t *testing.T, l *Lab) {
	t.Helper()
	if names, err := sandbox.Namespaces(plan.Prefix(l.Lab)); err != nil || len(names) > 0 {
		t.Errorf("namespaces are left: %v %v", names, err)
	}
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(raw), l.Dir+"/") || strings.Contains(string(raw), plan.Prefix(l.Lab)) {
		t.Errorf("mounts are left (%v):\n%s", err, raw)
	}
	root, err := sandbox.FindCgroups(l.base)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(root, "tombolo-"+l.Lab), l.Dir, l.Dir + ".lock"} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left (%v)", path, err)
		}
	}
}

// upTo makes the stages of a lab to the one named, without the lock of Up.
func upTo(t *testing.T, l *Lab, last string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := l.save(); err != nil {
		t.Fatal(err)
	}
	for i, s := range l.stages() {
		if s.name == last {
			if err := perform(ctx, l.stages()[:i+1], func(string, string, time.Duration) {}); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no stage %q", last)
}

// ask sends requests from a machine and returns the report.
func ask(t *testing.T, l *Lab, from, target string, mode echo.Mode) echo.Report {
	t.Helper()
	return askTimes(t, l, 20, from, target, mode)
}

// askTimes sends so many.
func askTimes(t *testing.T, l *Lab, n int, from, target string, mode echo.Mode) echo.Report {
	t.Helper()
	c, err := l.Command(from, []string{"tombolo", "requests", "--target", target, "--mode", string(mode),
		"--count", strconv.Itoa(n), "--parallel", "5", "--timeout", "500ms"})
	if err != nil {
		t.Fatal(err)
	}
	var out, failed bytes.Buffer
	if err := c.Run(nil, &out, &failed); err != nil && out.Len() == 0 { // a report comes also when nobody answered
		t.Fatalf("asking %s from %s: %v %s", target, from, err, failed.String())
	}
	var r echo.Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// Without speakers the routers know no pods; with routes to them, which only
// this test adds by hand, every machine reaches every pod.
func TestPacketsFindTheirWay(t *testing.T) {
	l := newLab(t, base(t), "way")
	upTo(t, l, "pods")
	far := l.Clusters[1].Nodes[0].Pods[1]
	if r := ask(t, l, "east-1-a", far.Addresses.IPv4.String()+":8080", echo.UDP); r.Failed != r.Requests {
		t.Errorf("a pod of another cluster answers before there is a route: %+v", r)
	}
	routeByHand(t, l)
	for _, from := range []string{"east-1-a", "east-1", "client"} {
		for _, address := range far.Addresses.List() {
			for _, mode := range []echo.Mode{echo.HTTP, echo.UDP, echo.UDPUnconnected} {
				r := ask(t, l, from, join(address), mode)
				if r.Pods[far.Name] != 20 || r.Clusters["west"] != 20 {
					t.Errorf("from %s by %s to %s: %+v", from, mode, address, r)
				}
			}
		}
	}
	// An address of the pods' prefix that no pod has is refused by its node, as
	// often as the kernel's limit for such messages lets it.
	if r := ask(t, l, "client", "10.2.1.99:8080", echo.HTTP); r.Errors["unreachable"] == 0 || r.Failed != 20 {
		t.Errorf("an address without a pod: %+v", r)
	}
}

// join is where a pod answers.
func join(pod netip.Addr) string { return netip.AddrPortFrom(pod, plan.Port).String() }

func routeByHand(t *testing.T, l *Lab) {
	t.Helper()
	add := func(n *sandbox.Net, nets plan.Nets, device string, via plan.Addrs) {
		for i, p := range nets.List() {
			if err := n.AddRoute(sandbox.Route{Prefix: p, Device: device, Via: via.List()[i]}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range l.Clusters {
		n, err := sandbox.OpenNet(l.Namespace(c.Router.Name))
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		add(n, c.Nodes[0].PodCIDR, plan.Bridge, c.Nodes[0].Addresses)
		for _, nb := range c.Router.Neighbors {
			for i, other := range l.Clusters {
				if other.Router.Name == nb.Name {
					add(n, other.PodCIDR, nb.Interface, nb.Remote)
					add(n, other.NodeCIDR, nb.Interface, nb.Remote)
					add(n, plan.ClientNet(i+1), nb.Interface, nb.Remote)
				}
			}
		}
	}
}

func status(t *testing.T, l *Lab) Status {
	t.Helper()
	s, err := l.Status()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// number runs a command that prints one.
func number(t *testing.T, c sandbox.Command) int {
	t.Helper()
	var out, failed bytes.Buffer
	if err := c.Run(nil, &out, &failed); err != nil {
		t.Fatalf("running %v: %v %s", c.Args, err, failed.String())
	}
	n, err := strconv.Atoi(strings.TrimSpace(out.String()))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
