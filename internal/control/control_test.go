package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// claimerDir makes this test binary a process that claims a role and waits to
// be killed.
const claimerDir = "TOMBOLO_CONTROL_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(claimerDir); dir != "" {
		if _, err := Open(dir, "agent"); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("claimed")
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// role is what the tests serve.
type role struct {
	health  atomic.Value
	reasons []string
	ready   atomic.Pointer[error]
	asked   atomic.Int32 // for an action
}

func (r *role) surface() Surface {
	return Surface{
		Role: "agent", Node: "n1", Version: "v1",
		Health: func() (clustermesh.Health, []string) { return r.health.Load().(clustermesh.Health), r.reasons },
		Ready: func() error {
			if err := r.ready.Load(); err != nil {
				return *err
			}
			return nil
		},
		Detail: func() any { return map[string]int{"services": 3} },
		Pages: map[string]Page{
			"/services": func(req *http.Request) (any, error) {
				switch req.URL.Query().Get("name") {
				case "":
					return []string{"shop/cart"}, nil
				case "shop/none":
					return nil, fmt.Errorf("service shop/none: %w", ErrNotFound)
				}
				return nil, errors.New("that is no name")
			},
			"/broken": func(*http.Request) (any, error) { return func() {}, nil },
		},
		Actions: map[string]Page{
			"/services": func(req *http.Request) (any, error) {
				r.asked.Add(1)
				if req.URL.Query().Get("name") == "" {
					return nil, errors.New("which one?")
				}
				return "done", nil
			},
		},
		Samples: func() iter.Seq[Sample] {
			return slices.Values([]Sample{
				{Name: "tombolo_backends", Help: "Backends.", Value: 2, Labels: []string{"cluster", "west"}},
				{Name: "tombolo_writes_total", Help: "Writes.", Value: 7, Counter: true},
			})
		},
	}
}

// serve runs a role in a new directory until the test ends.
func serve(t *testing.T, change func(*Surface)) (*role, string) {
	t.Helper()
	dir := t.TempDir()
	r := &role{}
	r.health.Store(clustermesh.HealthOK)
	s, err := Open(dir, "agent")
	if err != nil {
		t.Fatal(err)
	}
	surface := r.surface()
	if change != nil {
		change(&surface)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, surface, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serving: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
		if _, err := os.Stat(s.Path()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket stays: %v", err)
		}
	})
	return r, dir
}

func TestStatus(t *testing.T) {
	r, dir := serve(t, nil)
	failed := errors.New("etcd was not seen")
	r.ready.Store(&failed)
	var got Report
	if err := NewClient(dir, "agent").Get(t.Context(), "/status", &got); err != nil {
		t.Fatal(err)
	}
	if got.Role != "agent" || got.Node != "n1" || got.Version != "v1" || got.PID != os.Getpid() || got.Started.IsZero() ||
		got.Health != clustermesh.HealthOK || got.NotReady != "etcd was not seen" || fmt.Sprint(got.Detail) != "map[services:3]" {
		t.Errorf("got %+v", got)
	}
	var pages []string
	want := []string{"/status", "/metrics", "/healthz", "/readyz", "/broken", "/services"}
	if err := NewClient(dir, "agent").Get(t.Context(), "/", &pages); err != nil || !slices.Equal(pages, want) {
		t.Errorf("got the pages %v, %v", pages, err)
	}
}

func TestPagesAndTheirErrors(t *testing.T) {
	_, dir := serve(t, nil)
	c := NewClient(dir, "agent")
	var names []string
	if err := c.Get(t.Context(), "/services", &names); err != nil || !slices.Equal(names, []string{"shop/cart"}) {
		t.Errorf("got %v, %v", names, err)
	}
	for path, want := range map[string]string{
		"/services?name=shop/none": "service shop/none: not found",
		"/services?name=x":         "that is no name",
		"/bgp/peers":               "asking the agent: it has no /bgp/peers; is it of another version?",
		"/broken":                  "writing /broken as JSON: json: unsupported type: func()",
	} {
		err := c.Get(t.Context(), path, &names)
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
		if errors.Is(err, ErrNotFound) != strings.Contains(path, "none") {
			t.Errorf("%s: %v is ErrNotFound: %v", path, err, errors.Is(err, ErrNotFound))
		}
	}
	if err := c.Get(t.Context(), "/services", new(int)); err == nil || !strings.Contains(err.Error(), "reading /services of the agent") {
		t.Errorf("got %v", err)
	}
}

func TestActionsNeedAPost(t *testing.T) {
	r, dir := serve(t, nil)
	c := NewClient(dir, "agent")
	var names []string
	if err := c.Get(t.Context(), "/services", &names); err != nil || r.asked.Load() != 0 {
		t.Errorf("looking changes something: %v", err)
	}
	var answer string
	if err := c.Post(t.Context(), "/services?name=x", &answer); err != nil || answer != "done" || r.asked.Load() != 1 {
		t.Errorf("got %q, %v", answer, err)
	}
	if err := c.Post(t.Context(), "/services", &answer); err == nil || err.Error() != "which one?" {
		t.Errorf("got %v", err)
	}
}

func TestProbes(t *testing.T) {
	r, dir := serve(t, nil)
	c := NewClient(dir, "agent")
	probe := func(path, want string) {
		t.Helper()
		got, err := c.Raw(t.Context(), path)
		if text := string(got) + fmt.Sprint(err); !strings.Contains(text, want) {
			t.Errorf("%s: got %q, want %q", path, text, want)
		}
	}
	probe("/healthz", "OK\n<nil>")
	probe("/readyz", "ready\n<nil>")
	r.health.Store(clustermesh.HealthDegraded)
	probe("/healthz", "Degraded\n<nil>")
	r.health.Store(clustermesh.HealthStopped)
	probe("/healthz", "Stopped")
	if _, err := c.Raw(t.Context(), "/healthz"); err == nil {
		t.Error("a stopped role is healthy")
	}
	failed := errors.New("etcd was not seen")
	r.ready.Store(&failed)
	probe("/readyz", "etcd was not seen")
	if _, err := c.Raw(t.Context(), "/readyz"); err == nil {
		t.Error("a role that waits is ready")
	}
}

func TestMetrics(t *testing.T) {
	r, dir := serve(t, nil)
	r.reasons = []string{"a", "b"}
	r.health.Store(clustermesh.HealthDegraded)
	got, err := NewClient(dir, "agent").Raw(t.Context(), "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# TYPE tombolo_backends gauge\ntombolo_backends{cluster=\"west\"} 2\n",
		"# TYPE tombolo_writes_total counter\ntombolo_writes_total 7\n",
		"tombolo_health{state=\"Degraded\"} 1\n", "tombolo_health{state=\"OK\"} 0\n",
		"tombolo_ready 1\n", "tombolo_reasons 2\n", "role=\"agent\"", "\ngo_goroutines ", "\nprocess_start_time_seconds ",
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("metrics lack %q:\n%.2000s", want, got)
		}
	}
}

// A sample that cannot be a metric must not take the others with it.
func TestBrokenSample(t *testing.T) {
	_, dir := serve(t, func(s *Surface) {
		s.Samples = func() iter.Seq[Sample] {
			return slices.Values([]Sample{{Name: "tombolo_odd", Labels: []string{"name"}}, {Name: "not a name"}, {Name: "tombolo_even"}})
		}
	})
	got, err := NewClient(dir, "agent").Raw(t.Context(), "/metrics")
	if err != nil || !strings.Contains(string(got), "\ntombolo_even 0\n") || strings.Contains(string(got), "not a name") {
		t.Errorf("got %v:\n%.500s", err, got)
	}
}

func TestTCPShowsOnlyProbesAndMetrics(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	_, dir := serve(t, func(s *Surface) { s.Listen = address })
	// The socket answers once Serve listens on both.
	if _, err := NewClient(dir, "agent").Raw(t.Context(), "/readyz"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/metrics": 200, "/healthz": 200, "/readyz": 200, "/status": 404, "/services": 404, "/": 404} {
		res, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: got %d, want %d", path, res.StatusCode, want)
		}
	}
}

func TestTCPAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s, err := Open(t.TempDir(), "agent")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := &role{}
	surface := r.surface()
	surface.Listen = taken.Addr().String()
	if err := s.Serve(t.Context(), surface, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "listening for metrics") {
		t.Errorf("got %v", err)
	}
}

// start runs a process that claims the role in dir.
func start(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), claimerDir+"="+dir)
	if _, err := c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
	})
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "claimed\n" {
		t.Fatalf("the other process says %q", line)
	}
	return c
}

func TestSecondProcessIsToldWhoWasFirst(t *testing.T) {
	dir := t.TempDir()
	other := start(t, dir)
	_, err := Open(dir, "agent")
	want := fmt.Sprintf("claiming role agent in %s: it is running already, as process %d (%s", dir, other.Process.Pid, os.Args[0])
	if !errors.Is(err, ErrClaimed) || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v\nwant %s…", err, want)
	}
	if _, err := os.Stat(SocketPath(dir, "agent")); err != nil {
		t.Errorf("the first one's socket is gone: %v", err)
	}
	speaker, err := Open(dir, "speaker")
	if err != nil {
		t.Errorf("another role: %v", err)
	} else {
		speaker.Close()
	}
}

func TestKilledProcessLeavesNoClaim(t *testing.T) {
	dir := t.TempDir()
	other := start(t, dir)
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	other.Wait()
	if _, err := os.Stat(SocketPath(dir, "agent")); err != nil {
		t.Fatalf("the killed process took its socket along: %v", err)
	}
	err := NewClient(dir, "agent").Get(t.Context(), "/status", new(Report))
	if !errors.Is(err, ErrNotRunning) || !strings.Contains(err.Error(), "a dead process left") {
		t.Errorf("asking the dead: %v", err)
	}
	s, err := Open(dir, "agent")
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(s.Path())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v", info.Mode(), err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	again, err := Open(dir, "agent")
	if err != nil {
		t.Fatalf("after Close: %v", err)
	}
	again.Close()
}

func TestOpenRefuses(t *testing.T) {
	if _, err := Open(t.TempDir()+strings.Repeat("/long", 20), "agent"); err == nil || !strings.Contains(err.Error(), "give a shorter --run-dir") {
		t.Errorf("a path that is too long: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file, "agent"); err == nil || !strings.Contains(err.Error(), "making the run directory") {
		t.Errorf("a run directory that is a file: %v", err)
	}
	busy := t.TempDir()
	if err := os.MkdirAll(filepath.Join(SocketPath(busy, "agent"), "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(busy, "agent"); err == nil || !strings.Contains(err.Error(), "removing a socket") {
		t.Errorf("a directory in the socket's place: %v", err)
	}
}

func TestClientWithoutAServer(t *testing.T) {
	dir := t.TempDir()
	err := NewClient(dir, "speaker").Get(t.Context(), "/status", new(Report))
	want := "asking the speaker: it is not running: there is no " + dir + "/speaker.sock; start tombolo speaker, or give its --run-dir"
	if !errors.Is(err, ErrNotRunning) || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if _, err := Roles(filepath.Join(dir, "none")); !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v", err)
	}
	os.WriteFile(filepath.Join(dir, "not.sock"), nil, 0o600)
	for _, r := range []string{"speaker", "agent"} {
		s, err := Open(dir, r)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
	}
	if got, err := Roles(dir); err != nil || !slices.Equal(got, []string{"agent", "speaker"}) {
		t.Errorf("got %v, %v", got, err)
	}
}

// A process that is stopped (SIGSTOP) takes connections and says nothing.
func TestClientOfASilentServer(t *testing.T) {
	s, err := Open(t.TempDir(), "agent")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := NewClient(filepath.Dir(s.Path()), "agent")
	c.Patience = 20 * time.Millisecond
	if _, err := c.Raw(t.Context(), "/status"); err == nil || err.Error() != "asking the agent: it gives no answer within 20ms; is it stopped?" {
		t.Errorf("got %v", err)
	}
}
