package census

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/agent/pods"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// sealOf returns the seed and the public key of a seal for tests.
func sealOf(n byte) (seed []byte, key ed25519.PublicKey) {
	seed = slices.Repeat([]byte{n}, ed25519.SeedSize)
	return seed, ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
}

// rosterOf is of a node of one seal that knows loopback as of another.
func rosterOf(t *testing.T, own, other byte) *roster {
	t.Helper()
	seed, _ := sealOf(own)
	_, key := sealOf(other)
	r, err := newRoster(seed, map[netip.Addr]ed25519.PublicKey{loopback: key})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// answering is a server on loopback.
type answering struct {
	server
	at  netip.AddrPort
	run atomic.Pointer[pods.Set]
}

func answerAt(t *testing.T, r *roster) *answering {
	t.Helper()
	a := &answering{}
	a.server = server{askers: map[netip.Addr]*bucket{}, set: a.run.Load, life: func() health.Life { return health.Life{Epoch: 5} }}
	a.server.roster.Store(r)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a.at = l.Addr().(*net.TCPAddr).AddrPort()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serving ended: %v", err)
		}
	})
	return a
}

func TestAskAndAnswer(t *testing.T) {
	a := answerAt(t, rosterOf(t, 2, 1))
	a.run.Store(pods.SetOf(pods.Pod{UID: "a", Addresses: []netip.Addr{netip.MustParseAddr("10.1.0.1")}}))
	question := []Pair{{netip.MustParseAddr("10.1.0.1"), "a"}, {netip.MustParseAddr("10.1.0.1"), "b"}, {netip.MustParseAddr("10.1.0.2"), "c"}}
	got, err := ask(t.Context(), rosterOf(t, 1, 2), loopback, a.at, question)
	want := []pods.State{pods.Lives, pods.Reused, pods.Ended}
	if err != nil || !slices.Equal(got.States, want) || got.Life.Epoch != 5 {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	many := slices.Repeat(question[:1], 2*maxPairs+1)
	if got, err := ask(t.Context(), rosterOf(t, 1, 2), loopback, a.at, many); err != nil || len(got.States) != len(many) {
		t.Errorf("about %d: answers about %d, %v", len(many), len(got.States), err)
	}
	a.run.Store(nil)
	if _, err := ask(t.Context(), rosterOf(t, 1, 2), loopback, a.at, question); !errors.Is(err, errKnowsNothing) {
		t.Errorf("who knows nothing says %v", err)
	}
}

// Whoever does not hold the seal of the cluster whose address it has is neither
// answered nor believed.
func TestSeals(t *testing.T) {
	for name, c := range map[string]struct {
		asker, server *roster
		says          string
	}{
		"an asker of another cluster":      {rosterOf(t, 3, 2), rosterOf(t, 2, 1), ""},
		"an answer of another cluster":     {rosterOf(t, 1, 2), rosterOf(t, 3, 1), errSeal.Error()},
		"a cluster that says no seal":      {&roster{}, rosterOf(t, 2, 1), errNoSeal.Error()},
		"an asker whose address is no one": {rosterOf(t, 1, 2), mustRoster(t, 2), ""},
		"before the store says anything":   {rosterOf(t, 1, 2), nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := answerAt(t, c.server)
			a.run.Store(pods.SetOf(pods.Pod{UID: "a", Addresses: []netip.Addr{netip.MustParseAddr("10.1.0.1")}}))
			got, err := ask(t.Context(), c.asker, loopback, a.at, somePairs)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, %v, want %q", got, err, c.says)
			}
			if a.answered.Load() != 0 {
				t.Errorf("it counts %d answers", a.answered.Load())
			}
		})
	}
}

func mustRoster(t *testing.T, own byte) *roster {
	t.Helper()
	seed, _ := sealOf(own)
	r, err := newRoster(seed, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What is said without a seal, too long or malformed has no answer, and one that
// asks too often is refused.
func TestBounds(t *testing.T) {
	a := answerAt(t, rosterOf(t, 2, 1))
	a.run.Store(pods.SetOf(pods.Pod{UID: "a", Addresses: []netip.Addr{netip.MustParseAddr("10.1.0.1")}}))
	r := rosterOf(t, 1, 2)
	say := func(what string, raw []byte) {
		t.Helper()
		c, err := tls.Dial("tcp", a.at.String(), prove(r.own, r.keys[loopback]))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(raw) // it may hang up before the end
		_ = c.CloseWrite()
		if back, _ := io.ReadAll(c); len(back) > 0 {
			t.Errorf("%s is answered with %q", what, back)
		}
	}
	say("nonsense", []byte("hello"))
	say("too long a question", make([]byte, maxQuestion+2))
	c, err := net.Dial("tcp", a.at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write(appendQuestion(nil, somePairs))
	if raw, _ := io.ReadAll(io.LimitReader(c, 1<<10)); strings.Contains(string(raw), "\x00\x02\x01") && a.answered.Load() > 0 {
		t.Errorf("it answers in the clear: %q", raw)
	}
	began, answered := time.Now(), 0
	for range 2 * askedBurst {
		if _, err := ask(t.Context(), r, loopback, a.at, somePairs); err == nil {
			answered++
		}
	}
	if took := time.Since(began); float64(answered) > askedBurst+askedRate*took.Seconds() {
		t.Errorf("%d questions of %d within %v are answered", answered, 2*askedBurst, took)
	}
}

// An asker may ask so often at once, and again when time has passed; another's questions
// are its own.
func TestMayAsk(t *testing.T) {
	s := server{askers: map[netip.Addr]*bucket{}}
	now, other := time.Unix(1_000_000, 0), loopback.Next()
	may := func(from netip.Addr, want int) {
		t.Helper()
		got := 0
		for got < 2*askedBurst && s.may(from, 2, now) {
			got++
		}
		if got != want {
			t.Errorf("%v may ask %d times, want %d", from, got, want)
		}
	}
	may(loopback, askedBurst)
	may(other, askedBurst)
	now = now.Add(time.Second)
	may(loopback, askedRate)
	now = now.Add(time.Hour)
	may(loopback, askedBurst)
}
