package census

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/agent/pods"
)

// play is a desk and a clock that a test drives.
type play struct {
	*testing.T
	*desk
	now time.Time
}

func newPlay(t *testing.T) *play {
	return &play{t, newDesk(), time.Unix(1_000_000, 0)}
}

func (p *play) mirrored(name string, fresh bool, since time.Time) (ended bool) {
	return p.desk.mirrored(name, fresh, since, p.now)
}

var n1, n2 = health.Name{Cluster: "west", Node: "n1"}, health.Name{Cluster: "west", Node: "n2"}

func life(n uint64) health.Life { return health.Life{BootID: [16]byte{1}, Epoch: n} }

func (p *play) pass(d time.Duration) { p.now = p.now.Add(d) }

// asks compares whom there is to ask now.
func (p *play) asks(when, want string) {
	p.Helper()
	who := p.next(p.now)
	var got []string
	for _, w := range who {
		got = append(got, w.Node)
	}
	if strings.Join(got, " ") != want {
		p.Errorf("%s: asks %v, want %q", when, got, want)
	}
}

func (p *play) answers(who health.Name, l health.Life, states ...pods.State) (gone, back int) {
	p.begin(who)
	g, b := p.settled(who, l, p.pairs(len(states)), states, p.now)
	return len(g), len(b)
}

func (p *play) pairs(n int) (out []Pair) {
	for i := range n {
		out = append(out, Pair{netip.AddrFrom4([4]byte{10, 2, 0, byte(i)}), fmt.Sprint("u", i)})
	}
	return out
}

func (p *play) gone() []string {
	var out []string
	for pod, reason := range p.withdrawn("west") {
		out = append(out, pod.UID+" "+reason)
	}
	slices.Sort(out)
	return out
}

// calm is a mirror that is fresh, and nodes that did not change for long.
func calm(t *testing.T) *play {
	p := newPlay(t)
	p.mirrored("west", true, time.Time{})
	p.sighted(n1, life(1), p.now)
	p.sighted(n2, life(1), p.now)
	p.pass(time.Hour)
	p.asks("fresh", "")
	return p
}

// A mirror that goes stale is asked about nothing, until something moves.
func TestAskWhatMoved(t *testing.T) {
	p := calm(t)
	p.mirrored("west", false, p.now)
	p.asks("stale, and nothing moved", "")
	p.pass(time.Minute)
	p.sighted(n1, life(2), p.now)
	p.asks("n1 moved", "n1")
	p.begin(n1)
	p.asks("n1 is asked already", "")
	p.sighted(n2, health.Life{BootID: [16]byte{9}, Epoch: 1}, p.now)
	p.asks("n2 was booted", "n2")
	if gone, _ := p.answers(n1, life(2), pods.Lives, pods.Ended, pods.Reused, pods.Unknown); gone != 2 {
		t.Errorf("%d are withdrawn by the answer, want 2", gone)
	}
	want := []string{"u1 node n1 says that the pod ended", "u2 node n1 says that another pod has the address"}
	if got := p.gone(); !slices.Equal(got, want) {
		t.Errorf("withdrawn %q, want %q", got, want)
	}
	p.pass(time.Minute)
	p.asks("n1 is known", "n2")
	p.sighted(n1, life(3), p.now)
	if gone, back := p.answers(n1, life(3), pods.Lives, pods.Lives, pods.Ended, pods.Lives); gone != 0 || back != 1 {
		t.Errorf("one lives after all: %d withdrawn, %d back", gone, back)
	}
	p.sighted(n1, life(4), p.now)
	if gone, back := p.answers(n1, life(4), pods.Unknown, pods.Unknown, pods.Unknown, pods.Unknown); gone != 0 || back != 0 {
		t.Errorf("nothing is known any more: %d withdrawn, %d back", gone, back)
	}
	if got := p.gone(); !slices.Equal(got, []string{"u2 node n1 says that the pod ended"}) {
		t.Errorf("withdrawn %q, want u2 as before", got)
	}
	if !p.mirrored("west", true, time.Time{}) || len(p.gone()) != 0 {
		t.Errorf("the mirror is fresh, and %q are withdrawn", p.gone())
	}
	p.asks("fresh again", "")

	// It seemed so: who was withdrawn, and who moved long before and was not asked yet,
	// is asked again when it turns out that it was not.
	p.pass(5 * time.Second)
	p.mirrored("west", false, p.now)
	p.asks("it was not fresh", "n1 n2")
	if gone, _ := p.answers(n1, life(4), pods.Lives, pods.Lives, pods.Ended, pods.Lives); gone != 1 {
		t.Errorf("%d are withdrawn again, want 1", gone)
	}
	p.answers(n2, health.Life{BootID: [16]byte{9}, Epoch: 1}, pods.Lives)
	p.mirrored("west", true, time.Time{})
	p.pass(time.Minute)
	p.mirrored("west", false, p.now)
	p.asks("it was fresh for long", "")
}

// While a mirror is fresh, what moved is asked about a moment later: it takes
// seconds to find it stale. What is said against it holds until then, or on.
func TestAskAMirrorThatSeemsFresh(t *testing.T) {
	for _, turnsStale := range []bool{false, true} {
		p := calm(t)
		p.sighted(n1, life(2), p.now)
		p.asks("the mirror may follow", "")
		p.pass(grace)
		p.asks("later", "n1")
		if gone, _ := p.answers(n1, life(2), pods.Ended, pods.Lives); gone != 1 {
			t.Errorf("%d are withdrawn, want 1", gone)
		}
		p.pass(9 * time.Second)
		if turnsStale {
			p.mirrored("west", false, p.now)
		}
		p.asks("answered already", "")
		p.pass(believed)
		if ended := p.expire(p.now); (len(ended) == 1) == turnsStale || (len(p.gone()) == 1) != turnsStale {
			t.Errorf("stale %v: %q end, %q are withdrawn", turnsStale, ended, p.gone())
		}
	}
}

// What moved while a mirror may have been stale already, and what is seen first by
// one who begins, is asked about.
func TestAskWhatIsUnsure(t *testing.T) {
	p := calm(t)
	p.sighted(n2, life(2), p.now)
	p.pass(5 * time.Second)
	p.mirrored("west", false, p.now)
	p.asks("n2 moved shortly before", "n2")

	p = newPlay(t)
	p.mirrored("west", false, p.now.Add(-time.Hour))
	p.asks("nobody was seen yet", "")
	p.sighted(n1, life(1), p.now)
	p.asks("begins while it is stale", "n1")
}

// Failures withdraw nothing and are tried again, less and less often; a node that
// moves is asked at once.
func TestFailures(t *testing.T) {
	p := calm(t)
	p.mirrored("west", false, p.now)
	p.pass(time.Minute)
	p.sighted(n1, life(2), p.now)
	p.answers(n1, life(2), pods.Ended)
	p.sighted(n1, life(3), p.now)
	last := time.Duration(0)
	for range 12 {
		p.begin(n1)
		p.failed(n1, p.now)
		p.asks("just failed", "")
		next := p.node(n1).due
		if wait := next.Sub(p.now); wait < last || wait > againMax {
			t.Errorf("waits %v after %v", wait, last)
		} else {
			last = wait
		}
		p.now = next
		p.asks("later", "n1")
	}
	if last != againMax || len(p.gone()) != 1 {
		t.Errorf("in the end it waits %v, and %q are withdrawn", last, p.gone())
	}
	p.begin(n1)
	p.failed(n1, p.now)
	p.sighted(n1, life(4), p.now)
	p.asks("moved", "n1")
}

// An answer that comes when the mirror is fresh says nothing; one about an earlier
// life is not the last; a node that is gone takes its withdrawals along.
func TestLateAnswers(t *testing.T) {
	p := calm(t)
	p.mirrored("west", false, p.now)
	p.pass(time.Minute)
	p.sighted(n1, life(3), p.now)
	p.answers(n1, life(2), pods.Ended)
	p.pass(againMin)
	p.asks("answered about an earlier life", "n1")
	if !p.keep("west", map[string]struct{}{"n2": {}}) || len(p.gone()) != 0 {
		t.Errorf("n1 is gone, and %q are withdrawn", p.gone())
	}
	p.sighted(n2, life(5), p.now)
	p.begin(n2)
	p.mirrored("west", true, time.Time{})
	if gone, _ := p.answers(n2, life(5), pods.Ended); gone != 0 || len(p.gone()) != 0 {
		t.Errorf("the mirror came first, and %q are withdrawn", p.gone())
	}
}

func TestLastMovedFirst(t *testing.T) {
	p := newPlay(t)
	p.mirrored("west", false, p.now)
	for i := range 50 {
		p.sighted(health.Name{Cluster: "west", Node: fmt.Sprint("n", i)}, life(1), p.now.Add(time.Duration(i)))
	}
	who := p.next(p.now.Add(time.Second))
	if got := fmt.Sprint(who[:3]); got != "[west/n49 west/n48 west/n47]" {
		t.Errorf("asks %s: want those who moved last", got)
	}
}
