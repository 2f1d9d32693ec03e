package census

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/agent/loadbalancer"
)

// A node is asked by the first address of each family that both have, and by the other
// family when it did not answer.
func TestWays(t *testing.T) {
	addrs := func(s string) (out []netip.Addr) {
		for _, a := range strings.Fields(s) {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	for _, c := range []struct{ from, to, want string }{
		{"10.0.0.1 fd00::1", "10.0.0.2 10.0.0.3 fd00::2", "10.0.0.1>10.0.0.2 fd00::1>fd00::2"},
		{"10.0.0.1 10.0.0.9 fd00::1", "fd00::2 10.0.0.2", "fd00::1>fd00::2 10.0.0.1>10.0.0.2"},
		{"fd00::1", "10.0.0.2 fd00::2", "fd00::1>fd00::2"},
		{"fd00::1", "10.0.0.2", ""},
	} {
		var got []string
		for _, p := range ways(addrs(c.from), addrs(c.to)) {
			got = append(got, fmt.Sprintf("%v>%v", p.from, p.to))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("from %s to %s: %s, want %s", c.from, c.to, s, c.want)
		}
	}

	c := New(Config{Port: 7947}, Deps{})
	c.sources = addrs("10.0.0.1 fd00::1")
	c.addresses = map[health.Name][]netip.Addr{n1: addrs("10.0.0.2 fd00::2")}
	c.server.roster.Store(&roster{})
	for _, want := range []string{"10.0.0.2:7947", "[fd00::2]:7947", "10.0.0.2:7947"} {
		if _, _, to, err := c.way(n1); err != nil || to.String() != want {
			t.Errorf("asks %v, want %s (%v)", to, want, err)
		}
		c.desk.failed(n1, time.Now())
	}
	// The next question goes where the last answer came from: a second that is lost by
	// the other family would be a second in which a wrong pod is reached.
	c.desk.settled(n1, life(1), nil, nil, time.Now())
	c.desk.sighted(n1, life(2), time.Now())
	if _, _, to, err := c.way(n1); err != nil || to.String() != "[fd00::2]:7947" {
		t.Errorf("after an answer by IPv6 it asks %v (%v)", to, err)
	}
}

// Who started without the store asks nobody, and says so, until it names the pods.
func TestUnnamed(t *testing.T) {
	synced := false
	c := New(Config{}, Deps{Balanced: func() *loadbalancer.Snapshot { return &loadbalancer.Snapshot{Synced: synced} }, Log: slog.New(slog.DiscardHandler)})
	c.desk.sighted(n1, life(1), time.Now())
	says := func(want bool) {
		t.Helper()
		c.inquire(t.Context())
		c.publish()
		if got := slices.Contains(c.Snapshot().Problems, errUnnamed.Error()); got != want {
			t.Errorf("it says %q", c.Snapshot().Problems)
		}
	}
	c.began = time.Now()
	says(false) // it may come any moment
	c.began = time.Now().Add(-time.Minute)
	says(true)
	synced = true
	says(false)
}
