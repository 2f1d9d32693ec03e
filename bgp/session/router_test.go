package session

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tombolo.io/tombolo/deploy/lab/router"
)

// The tests of this file have real routers in network namespaces; what counts
// is the router's kernel.

var kinds = []router.Kind{router.Builtin, router.FRR, router.BIRD}

// manyPaths are routes of both families.
func manyPaths(each int) []string {
	var out []string
	for i := range each {
		out = append(out, fmt.Sprintf("203.0.%d.%d/32 10.9.0.1", i/256, i%256), fmt.Sprintf("2001:db8::%x/128 fd00:9::1", i))
	}
	return out
}

// TestRoutesSurvive has the connection cut and the speaker killed: the router
// keeps every route, and knows all of the new ones before it drops old ones.
func TestRoutesSurvive(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) { testRoutesSurvive(t, kind) })
	}
}

func testRoutesSurvive(t *testing.T, kind router.Kind) {
	n := newSite(t, string(kind))
	n.route(kind, router.Config{NodeASN: 64513, Password: "secret"})
	conf := speakerConfig{ASN: 64512, Password: "secret", Paths: manyPaths(250), Mark: "198.18.0"}
	s := n.speak(conf)
	s.complete()
	n.await(501)

	var deleted atomic.Int64
	err := router.Watch(t.Context(), n.tor, func(c router.Change) {
		if c.Deleted {
			deleted.Add(1)
		}
	}, func(err error) { t.Errorf("watching: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	n.cut()
	start := time.Now()
	told := s.await("cut", func(told toldStatus) bool { return told.State == Idle })
	s.complete()
	t.Logf("%s: %q, back after %v", kind, told.Reason, time.Since(start))
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("back only after %v", took)
	}
	n.await(502)

	s.kill()
	conf.Restart, conf.Mark = true, "198.18.1"
	conf.Paths = append(conf.Paths[2:], "198.51.100.0/24 10.9.0.1") // one of each family gone, one new
	again := n.speak(conf)
	again.complete()
	// There are 500 routes also for a moment on the way there.
	n.until("4 deletions", func() (string, bool) { got := deleted.Load(); return fmt.Sprintf("%d", got), got >= 4 })
	n.await(500)
	// Only what the new speaker no longer has is gone, once the router knows
	// that it has told all: two paths and the marks of the old one.
	if got := deleted.Load(); got != 4 {
		t.Errorf("%d routes were deleted, want 4", got)
	}
	again.stop()
	n.await(0)
}

// TestReasonsWithRouters has configurations that do not fit together.
func TestReasonsWithRouters(t *testing.T) {
	for _, kind := range kinds {
		for _, c := range []struct {
			name    string
			router  router.Config
			speaker speakerConfig
			want    []string
		}{
			{"as-router", router.Config{}, speakerConfig{ASN: 64999}, []string{"peer says its AS is 64512, we expect 64999"}},
			{"as-ours", router.Config{NodeASN: 64999}, speakerConfig{ASN: 64512},
				[]string{"OPEN message error: bad peer AS", "closed the connection before its OPEN"}},
			{"key", router.Config{Password: "secret"}, speakerConfig{ASN: 64512, Password: "other"},
				[]string{"no TCP answer: the router is away or has another MD5 key"}},
			{"unknown", router.Config{}, speakerConfig{ASN: 64512, Source: netip.MustParseAddr("10.7.0.1")},
				[]string{"closed the connection before its OPEN", "reset", "refused"}},
			{"link-local", router.Config{}, speakerConfig{ASN: 64512, Router: netip.MustParseAddrPort("[fe80::254%eth0]:179")}, // it takes none as dynamic
				[]string{"closed the connection before its OPEN", "reset", "refused"}},
		} {
			t.Run(string(kind)+"/"+c.name, func(t *testing.T) {
				n := newSite(t, string(kind))
				n.ip("-n " + n.node + " addr add 10.7.0.1/32 dev lo")
				n.ip("-n " + n.tor + " route add 10.7.0.1/32 via 10.9.0.1")
				n.ip("-n " + n.tor + " addr add fe80::254/64 dev node nodad")
				n.ip("-n " + n.node + " addr add fe80::1/64 dev eth0 nodad")
				n.route(kind, c.router)
				s := n.speak(c.speaker)
				// FRR may answer a first attempt with an error of its own state
				// machine, while it still makes up the dynamic neighbour.
				s.await(fmt.Sprintf("idle for one of %q", c.want), func(told toldStatus) bool {
					return told.State == Idle && slices.ContainsFunc(c.want, func(want string) bool { return strings.Contains(told.Reason, want) })
				})
			})
		}
	}
}

// TestOverIPv6 has a session over IPv6, with a key, that carries both families.
func TestOverIPv6(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			n := newSite(t, string(kind))
			n.route(kind, router.Config{NodeASN: 64513, Password: "secret"})
			s := n.speak(speakerConfig{ASN: 64512, Router: netip.MustParseAddrPort("[fd00:9::254]:179"), Password: "secret", Paths: manyPaths(1)})
			s.complete()
			n.await(2)
		})
	}
}
