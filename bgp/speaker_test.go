package bgp

import (
	"fmt"
	"strings"
	"testing"

	lab "tombolo.io/tombolo/deploy/lab/router"
)

// The tests of this file have real routers and a real speaker in network
// namespaces, and a real etcd; what counts is the routers' kernel.

// TestSpeaker is the life of a speaker with each kind of router.
func TestSpeaker(t *testing.T) {
	t.Parallel()
	for _, kind := range []lab.Kind{lab.Builtin, lab.FRR, lab.BIRD} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			testSpeaker(t, kind)
		})
	}
}

// always is what the node advertises whatever happens to the service web.
var always = []string{"10.1.1.0/24", "fd01:1::/64", "192.0.2.2/32", "192.0.2.4/32"}

// all is that and web.
var all = append([]string{"192.0.2.1/32", "2001:db8::1/128"}, always...)

func testSpeaker(t *testing.T, kind lab.Kind) {
	s := newSite(t)
	w := s.world
	w.fill()
	w.peer(1)
	w.services("")
	w.mark()
	tor := s.route(1, kind, lab.Config{})
	s.speak()
	tor.has(all...)
	s.complete("tor1")
	s.unreachable("192.0.2.1", "192.0.2.2", "192.0.2.4", "2001:db8::1")
	s.held("192.0.2.3/32", "no-endpoint")
	s.held("192.0.2.5/32", "no-endpoint")
	tor.keeps("at first")

	w.services("unready")
	tor.has(always...)
	s.held("192.0.2.1/32", "no-endpoint")
	s.unreachable("192.0.2.2", "192.0.2.4")
	w.services("")
	tor.has(all...)
	s.unreachable("192.0.2.1", "192.0.2.2", "192.0.2.4", "2001:db8::1")
	if lost := fmt.Sprint(tor.lost()); !strings.Contains(lost, "192.0.2.1/32") || !strings.Contains(lost, "2001:db8::1/128") {
		t.Errorf("the test does not see routes go: it saw %s", lost)
	}

	for _, step := range []struct {
		name string
		do   func()
	}{
		{"TCP cut", func() { s.cut("tor1") }},
		{"killed and started again", func() { s.kill(); s.speak() }},
		{"stopped and started again", func() { s.stop(); s.speak() }},
		{"killed and started again without the store", func() { w.store.Stop(); s.kill(); s.speak() }},
	} {
		step.do()
		s.complete("tor1")
		s.unreachable("192.0.2.1", "192.0.2.2", "192.0.2.4", "2001:db8::1")
		tor.keeps(step.name)
	}

	s.source("disk")
	s.reason("etcd stale since")
	s.reason("etcd at unix://" + w.socket + ": ")
	w.lose()
	w.fill()
	s.until("store reached", func() string {
		st, err := ask[struct{ Reasons []string }](s, "/status")
		if err == nil && strings.Contains(fmt.Sprint(st.Reasons), "etcd") {
			return fmt.Sprint(st.Reasons)
		}
		return ""
	})
	s.source("disk")
	w.peer(1)
	w.services("")
	w.mark()
	s.source("store")
	w.empty()
	s.complete("tor1")
	tor.keeps("store lost, filled and emptied")
	w.fill()
	w.peer(1)
	w.services("unready")
	w.mark()
	tor.has(always...)
}

// services writes services of every kind; the endpoints of web are as options say.
func (w *world) services(options string) {
	w.t.Helper()
	w.service("web", "192.0.2.1 2001:db8::1", options, "10.1.1.9 n1", "fd01:1::9 n1")
	w.service("far", "192.0.2.2", "global west", "10.2.0.9 w1")
	w.service("none", "192.0.2.3", "unready", "10.1.1.8 n1")
	w.service("here", "192.0.2.4", "local", "10.1.1.7 n1")
	w.service("there", "192.0.2.5", "local", "10.1.2.7 n2")
}

// unreachable waits until the node holds exactly these unreachable routes.
func (s *site) unreachable(want ...string) {
	s.t.Helper()
	s.until("unreachable routes", func() string {
		var got []string
		for _, family := range []string{"-4", "-6"} {
			for _, line := range strings.Split(s.ip(family+" -n "+s.node+" route show type unreachable proto 178"), "\n") {
				if f := strings.Fields(line); len(f) > 1 {
					got = append(got, f[1])
				}
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Sprintf("got %v, want %v", got, want)
		}
		return ""
	})
}

// held waits until a prefix is held back for a reason.
func (s *site) held(prefix, reason string) {
	s.t.Helper()
	s.until(prefix+" held", func() string {
		routes, err := ask[[]Route](s, "/bgp/routes")
		for _, r := range routes {
			if r.Prefix.String() == prefix && r.Held == reason {
				return ""
			}
		}
		return fmt.Sprintf("%+v, %v", routes, err)
	})
}

// source waits until the speaker says what its paths come from.
func (s *site) source(want string) {
	s.t.Helper()
	s.until("source", func() string {
		st, err := ask[struct{ Detail Summary }](s, "/status")
		if st.Detail.Source != want {
			return fmt.Sprintf("got %+v, %v, want %s", st, err, want)
		}
		return ""
	})
}

// cut resets the node's TCP connections with the routers, at both ends, and
// waits until the session with one of them has noticed.
func (s *site) cut(name string) {
	s.t.Helper()
	before := s.peer(name, "is there", func(p PeerStatus) bool { return p.State == "Established" })
	s.ip("netns exec " + s.node + " ss -K dst 10.9.0.0/24")
	s.peer(name, "was cut", func(p PeerStatus) bool { return !p.Since.Equal(before.Since) })
}
