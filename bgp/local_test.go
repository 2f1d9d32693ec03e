package bgp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	lab "tombolo.io/tombolo/deploy/lab/router"
	"tombolo.io/tombolo/internal/control"
)

// agent answers in the place of the node's agent, after whatever did before:
// with what said holds, and without it as an agent of an older version.
func (s *site) agent(said *atomic.Pointer[clustermesh.Readiness]) {
	s.t.Helper()
	s.noAgent()
	socket, err := control.Open(s.dir, clustermesh.RoleAgent)
	if err != nil {
		s.t.Fatal(err)
	}
	surface := control.Surface{
		Role:   clustermesh.RoleAgent,
		Health: func() (clustermesh.Health, []string) { return clustermesh.HealthOK, nil },
		Ready:  func() error { return nil },
	}
	if said != nil {
		surface.Pages = map[string]control.Page{clustermesh.ReadinessPage: func(*http.Request) (any, error) {
			if r := said.Load(); r != nil {
				return r, nil
			}
			return nil, errors.New("not filled yet")
		}}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- socket.Serve(ctx, surface, slog.New(slog.DiscardHandler)) }()
	s.endAgent = func() {
		cancel()
		if err := errors.Join(<-done, socket.Close()); err != nil {
			s.t.Error(err)
		}
		s.endAgent = nil
	}
	s.t.Cleanup(s.noAgent)
}

// noAgent ends it.
func (s *site) noAgent() {
	if s.endAgent != nil {
		s.endAgent()
	}
}

// word is what an agent says whose programs are pinned at a path.
func word(pin string, addresses ...clustermesh.ServedAddress) *clustermesh.Readiness {
	return &clustermesh.Readiness{Version: fmt.Sprint(time.Now().UnixNano()), Pins: []string{pin}, Addresses: addresses}
}

func served(name, ip string, ready bool) clustermesh.ServedAddress {
	return clustermesh.ServedAddress{Service: clustermesh.ServiceName{Namespace: "d", Name: name}, Address: netip.MustParseAddr(ip), Ready: ready}
}

func TestLocal(t *testing.T) {
	dir := t.TempDir()
	pin := filepath.Join(dir, "pin")
	writeKey(t, pin, "")
	l, err := openLocal(filepath.Join(dir, "word"), nil)
	if err != nil || l.asked || len(l.input().Addresses) > 0 {
		t.Fatalf("at first %+v, %v", l, err)
	}
	away := heard{err: errors.New("away")}
	start := time.Unix(1000, 0)
	says := func(ready bool) heard { return heard{said: word(pin, served("web", "192.0.2.1", ready))} }
	for _, step := range []struct {
		name    string
		before  func()
		heard   heard
		changed bool
		want    string
	}{
		{"nobody answers", nil, away, true, "map[]"},
		{"still nobody", nil, away, false, "map[]"},
		{"the agent speaks", nil, says(true), true, "map[{d/web 192.0.2.1}:true]"},
		{"it says the same", nil, says(true), false, "map[{d/web 192.0.2.1}:true]"},
		{"it is lost, its programs are not", nil, away, false, "map[{d/web 192.0.2.1}:true]"},
		{"the speaker restarts meanwhile", func() { l, err = openLocal(l.path, nil) }, away, true, "map[{d/web 192.0.2.1}:true]"},
		{"its programs go", func() { os.Remove(pin) }, away, true, "map[]"},
		{"a new one attaches them", func() { writeKey(t, pin, "") }, says(false), true, "map[{d/web 192.0.2.1}:false]"},
		{"one of an older version follows", nil, heard{err: control.ErrNoPage}, true, "none"},
		{"it is lost for the time of an upgrade", nil, away, false, "none"},
		{"a new one again", nil, says(false), true, "map[{d/web 192.0.2.1}:false]"},
	} {
		if step.before != nil {
			step.before()
		}
		changed, err := l.take(step.heard, start)
		if err != nil {
			t.Fatal(err)
		}
		got := "none"
		if in := l.input(); in != nil {
			got = fmt.Sprint(in.Addresses)
		}
		if got != step.want || changed != step.changed {
			t.Errorf("%s: got %s, changed %v; want %s, %v", step.name, got, changed, step.want, step.changed)
		}
	}
	writeKey(t, l.path, "{")
	if l, err := openLocal(l.path, nil); err == nil || l.said != nil {
		t.Errorf("a damaged file gives %+v, %v", l.said, err)
	}
	before, _ := decide(pictureOf("web 192.0.2.1"), nil)
	if l, err := openLocal(filepath.Join(dir, "none"), before); err != nil || l.input() != nil {
		t.Errorf("paths of a speaker that did not follow are not believed: %+v, %v", l, err)
	}
}

// TestSpeakerFollowsTheAgent has a real router see what the node's data path can.
func TestSpeakerFollowsTheAgent(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	w := s.world
	w.fill()
	w.peer(1)
	w.service("web", "192.0.2.1", "", "10.1.1.9 n1")
	w.mark()
	tor := s.route(1, lab.FRR, lab.Config{})
	pods := []string{"10.1.1.0/24", "fd01:1::/64"}
	web := append([]string{"192.0.2.1/32"}, pods...)
	pin := filepath.Join(s.dir, "pin")
	graceful := func(c *speakerConfig) { c.GracefulShutdown = 3 * time.Second }

	s.noAgent()
	s.speak(graceful)
	tor.has(pods...)
	s.held("192.0.2.1/32", "not-balanced")
	s.reason("this node balances nothing yet")
	var said atomic.Pointer[clustermesh.Readiness]
	s.agent(&said)
	s.reason("not filled yet")
	s.held("192.0.2.1/32", "not-balanced")
	writeKey(t, pin, "")
	said.Store(word(pin, served("web", "192.0.2.1", true)))
	tor.has(web...)
	s.complete("tor1")
	tor.lost()

	s.noAgent()
	s.reason("the last one holds while the programs run")
	s.kill()
	s.speak(graceful)
	s.complete("tor1")
	s.source("store")
	tor.keeps("agent lost and speaker killed")
	if err := os.Remove(pin); err != nil {
		t.Fatal(err)
	}
	tor.has(pods...)
	s.held("192.0.2.1/32", "not-balanced")
	writeKey(t, pin, "")
	s.agent(&said)
	tor.has(web...)
	said.Store(word(pin, served("web", "192.0.2.1", false)))
	tor.has(pods...)
	s.held("192.0.2.1/32", "down")
	said.Store(word(pin, served("web", "192.0.2.1", true)))
	tor.has(web...)

	drain := &clustermesh.Drain{What: clustermesh.DrainNode, Name: "n1", Moved: clustermesh.DrainedWhole, Since: time.Unix(1000, 0)}
	w.put(clustermesh.Export, "", drain)
	s.until("the router is asked to prefer others", func() string {
		out, err := exec.Command("vtysh", "--vty_socket", tor.dir, "-c", "show bgp ipv4 unicast 192.0.2.1/32").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "graceful-shutdown") {
			return fmt.Sprintf("%s, %v", out, err)
		}
		return ""
	})
	s.held("192.0.2.1/32", "draining")
	tor.has(pods...)
	tor.lost()
	s.kill()
	s.speak(graceful)
	s.complete("tor1")
	s.source("store")
	s.held("192.0.2.1/32", "draining")
	tor.has(pods...)
	w.remove(clustermesh.Export, drain)
	tor.has(web...)
}
