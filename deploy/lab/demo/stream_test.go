package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/deploy/lab"
	"tombolo.io/tombolo/deploy/lab/echo"
	"tombolo.io/tombolo/deploy/lab/plan"
	"tombolo.io/tombolo/deploy/lab/sandbox"
	"tombolo.io/tombolo/internal/program"
)

// onePod returns a demo of whose lab there is only the client's pod, in which
// a responder of a cluster answers at the service's own address.
func onePod(t *testing.T) *Demo {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "tombolo")
	if err := program.Build(t.Context(), binary); err != nil {
		t.Fatal(err)
	}
	base, err := os.MkdirTemp("/run", "tombolo-dt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	l, err := lab.New(base, binary, plan.Config{Lab: fmt.Sprintf("demo%d", os.Getpid()), Clusters: 2, Nodes: 1, Pods: 1, Router: "builtin"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Down(context.Background(), base, l.Lab); err != nil {
			t.Error(err)
		}
	})
	d := &Demo{Config: Config{Lab: l, Out: os.Stderr}, here: l.Clusters[0], there: l.Clusters[1], client: "east-1-a"}
	c, err := l.Command(d.client, []string{binary})
	if err == nil {
		err = errors.Join(sandbox.MakeCgroup(c.Cgroup), sandbox.CreateNamespace(c.Namespace))
	}
	if err != nil {
		t.Fatal(err)
	}
	n, err := sandbox.OpenNet(c.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if err := errors.Join(n.Up("lo"), n.Address("lo", netip.PrefixFrom(address(d), 32))); err != nil {
		t.Fatal(err)
	}
	return d
}

func address(d *Demo) netip.Addr { return d.echo().Addresses.IPv4 }

// answer serves in the pod as one of a cluster, until stop is called.
func answer(t *testing.T, d *Demo, cluster string) (stop func()) {
	t.Helper()
	var tcp net.Listener
	var udp *net.UDPConn
	at := net.JoinHostPort(address(d).String(), "80")
	err := sandbox.In(d.Lab.Namespace(d.client), func() (err error) {
		if tcp, err = net.Listen("tcp", at); err != nil {
			return err
		}
		udp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(at)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- echo.ServeOn(ctx, echo.Pod{Cluster: cluster, Pod: cluster + "-1-a"}, tcp, udp) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("answering: %v", err)
		}
	}
}

func TestStream(t *testing.T) {
	d := onePod(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := d.ask(address(d))
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	if all, err := s.more(ctx, 10); err != nil || echo.Summarize(all).Errors["refused"] != len(all) {
		t.Fatalf("nobody answers: %v, %s", err, seen(all))
	}
	stop := answer(t, d, "east")
	if _, err := s.steadily(ctx, "east", time.Now()); err != nil {
		t.Fatal(err)
	}
	cause := time.Now()
	stop()
	stop = answer(t, d, "west")
	defer func() { stop() }()
	if _, err := s.steadily(ctx, "west", cause); err != nil {
		t.Fatal(err)
	}
	all, err := s.more(ctx, 100)
	if err != nil {
		t.Fatal(err)
	}
	turn, ok := turned(all, cause, "west")
	if !ok || turn.First <= 0 || turn.Stray > 0 || turn.After < 100 {
		t.Errorf("the turn to west: %+v %v", turn, ok)
	}
	if r := echo.Summarize(all); r.Clusters["east"] < steady || r.Clusters["west"] < steady+100 {
		t.Errorf("answers: %+v", r)
	}
	brief, stopWaiting := context.WithTimeoutCause(ctx, 100*time.Millisecond, errors.New("time is over"))
	defer stopWaiting()
	if _, err := s.steadily(brief, "north", cause); err == nil || !strings.Contains(err.Error(), "expected 200 answers of north in a row: time is over; of the last") {
		t.Errorf("waiting for who never answers: %v", err)
	}
}

// A client that dies is reported and not waited for.
func TestStreamOfADeadClient(t *testing.T) {
	d := onePod(t)
	s, err := d.ask(address(d))
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Process.Kill()
	if _, err := s.more(t.Context(), 1_000_000); err == nil || !strings.Contains(err.Error(), "the client ended") {
		t.Errorf("got %v", err)
	}
	s.stop()
}
