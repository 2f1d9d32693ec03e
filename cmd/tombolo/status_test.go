package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/internal/control"
)

// serve shows a role in dir until the test ends.
func serve(t *testing.T, dir string, s control.Surface) {
	t.Helper()
	socket, err := control.Open(dir, s.Role)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- socket.Serve(ctx, s, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, socket.Close()); err != nil {
			t.Error(err)
		}
	})
}

func inOrder(role string) control.Surface {
	return control.Surface{
		Role: role, Node: "n1", Version: "v1",
		Health: func() (clustermesh.Health, []string) { return clustermesh.HealthOK, nil },
		Ready:  func() error { return nil },
	}
}

func TestStatusInOrder(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir, inOrder("agent"))
	serve(t, dir, inOrder("speaker"))
	out, err := run(t, "status", "--run-dir", dir)
	if err != nil || !strings.HasPrefix(out, "ROLE     NODE  PID ") || !strings.Contains(out, "agent    n1 ") || !strings.Contains(out, "speaker  n1 ") {
		t.Errorf("got %v\n%s", err, out)
	}
	out, err = run(t, "status", "speaker", "-o", "json", "--run-dir", dir)
	if err != nil || !strings.Contains(out, `"role": "speaker"`) || strings.Contains(out, "agent") {
		t.Errorf("got %v\n%s", err, out)
	}
	t.Setenv("TOMBOLO_RUN_DIR", dir)
	if out, err = run(t, "status", "-o", "yaml"); err != nil || !strings.Contains(out, "  role: agent\n") {
		t.Errorf("got %v\n%s", err, out)
	}
	if _, err = run(t, "status", "-o", "xml"); err == nil || !strings.Contains(err.Error(), "want one of table, json, yaml") {
		t.Errorf("got %v", err)
	}
}

func TestStatusOutOfOrder(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir, inOrder("speaker"))
	agent := inOrder("agent")
	agent.Health = func() (clustermesh.Health, []string) { return clustermesh.HealthDegraded, []string{"etcd is away"} }
	agent.Ready = func() error { return errors.New("services were not seen") }
	serve(t, dir, agent)
	// A socket that a dead process left.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: control.SocketPath(dir, "apiserver"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()

	out, err := run(t, "status", "--run-dir", dir)
	if err == nil || err.Error() != "not in order: agent, apiserver" {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{
		"agent: not ready: services were not seen\n", "agent: etcd is away\n",
		"apiserver: asking the apiserver: it is not running: a dead process left " + dir,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("lacks %q:\n%s", want, out)
		}
	}
	if !strings.Contains(fields(out), "apiserver - - - Dead no -\n") {
		t.Errorf("the dead one is not shown as such:\n%s", out)
	}
	if strings.Contains(out, "speaker: ") {
		t.Errorf("a role in order has reasons:\n%s", out)
	}
}

func TestStatusOfNothing(t *testing.T) {
	dir := t.TempDir()
	if _, err := run(t, "status", "--run-dir", dir); err == nil || !strings.Contains(err.Error(), "no role runs in "+dir) {
		t.Errorf("got %v", err)
	}
	os.Remove(dir)
	if _, err := run(t, "status", "--run-dir", dir); !errors.Is(err, control.ErrNotRunning) {
		t.Errorf("got %v", err)
	}
	if _, err := run(t, "status", "agent", "--run-dir", dir); err == nil || !strings.Contains(err.Error(), "not in order: agent") {
		t.Errorf("got %v", err)
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m1s", 3*time.Hour + 5*time.Minute: "3h5m",
		47 * time.Hour: "47h0m", 49 * time.Hour: "2d1h", 1400 * time.Millisecond: "1s",
	} {
		if got := age(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

func TestStatusKnowsTheRoles(t *testing.T) {
	for _, args := range [][]string{{"status", "router"}, {"status", "--all", "router"}} {
		if _, err := run(t, args...); err == nil || !strings.Contains(err.Error(), `no role "router"; roles are agent, apiserver, speaker`) {
			t.Errorf("%q: %v", args, err)
		}
	}
}
