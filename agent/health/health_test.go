package health

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/agent/health/probe"
	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
)

// wire is a prober whose nodes answer after a millisecond, those that are silent
// aside.
type wire struct {
	mu       sync.Mutex
	silent   map[netip.Addr]bool
	epoch    uint64 // of all who answer
	refuse   error  // of Send
	broken   error  // of Drain
	nonce    uint64
	waiting  []probe.Reply
	readable chan struct{}
	sent     int
	closed   bool
}

func (w *wire) Send(t probe.Target) (uint64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nonce++
	w.sent++
	if w.refuse != nil {
		return 0, w.refuse
	}
	if !w.silent[t.Address] {
		now := time.Now()
		w.waiting = append(w.waiting, probe.Reply{Nonce: w.nonce, Target: t, Epoch: w.epoch, Sent: now, Arrived: now.Add(time.Millisecond)})
		time.AfterFunc(time.Millisecond, func() {
			select {
			case w.readable <- struct{}{}:
			default:
			}
		})
	}
	return w.nonce, nil
}

func (w *wire) Drain() (probe.Batch, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := probe.Batch{Through: time.Now()}
	if w.broken != nil {
		return b, w.broken
	}
	for len(w.waiting) > 0 && !w.waiting[0].Arrived.After(b.Through) {
		b.Replies = append(b.Replies, w.waiting[0])
		w.waiting = w.waiting[1:]
	}
	return b, nil
}

func (w *wire) Readable() <-chan struct{}       { return w.readable }
func (w *wire) Watch(ctx context.Context) error { <-ctx.Done(); return nil }
func (w *wire) Close() error                    { w.closed = true; return nil }

// be has addresses fall silent, or answer again.
func (w *wire) be(silent bool, all ...netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range all {
		w.silent[a] = silent
	}
}

// live has all who answer live another life from now on.
func (w *wire) live(epoch uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.epoch = epoch
}

// fail has Send fail from now on.
func (w *wire) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refuse = err
}

// listener is a balancer that writes down what it is told, and may let wait.
type listener struct {
	mu   sync.Mutex
	told []string
	hold chan struct{}
}

// heard returns what it was told since it was last asked.
func (l *listener) heard() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	told := l.told
	l.told = nil
	return told
}

// wait has it wait with its next answers until the channel is closed.
func (l *listener) wait(until chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hold = until
}

func (l *listener) Judge(ctx context.Context, v loadbalancer.Verdict) error {
	l.mu.Lock()
	hold := l.hold
	l.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	told := fmt.Sprintf("%d/%s %d", v.Cluster, v.Node, v.Down)
	switch {
	case v.Gone:
		told = fmt.Sprintf("%d/%s gone", v.Cluster, v.Node)
	case v.Known != loadbalancer.Everything:
		told += fmt.Sprintf(" of %d", v.Known)
	}
	l.told = append(l.told, told)
	return nil
}

// SetPlaces writes down of which nodes it was told.
func (l *listener) SetPlaces(_ context.Context, all []loadbalancer.Place) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range all {
		l.told = append(l.told, fmt.Sprintf("%d/%s at %v, %v", p.Cluster, p.Node, p.Addresses, p.Pods))
	}
	return nil
}

// shell is a Health that runs in a bubble.
type shell struct {
	*Health
	wire     *wire
	balancer *listener
	batches  chan view.Batch
	stop     func()
}

// start starts one that is told of two clusters.
func start(t *testing.T, c Config, pool ...*chat) *shell {
	s := begin(t, c, pool...)
	s.batches <- mesh2()
	s.after(3 * time.Second)
	return s
}

// begin starts one that is told of nothing.
func begin(t *testing.T, c Config, pool ...*chat) *shell {
	s := &shell{wire: &wire{silent: map[netip.Addr]bool{}, readable: make(chan struct{}, 1)}, balancer: &listener{}, batches: make(chan view.Batch)}
	c.Node, c.Knobs = "east-1", DefaultKnobs()
	d := Deps{
		Open: func(c probe.Config) (Prober, error) {
			if len(c.Sources) != 1 || c.Sources[0] != addr(1, 1) {
				t.Errorf("sources %v", c.Sources)
			}
			s.wire.closed = false
			return s.wire, nil
		},
		Balancer: s.balancer, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	for _, p := range pool {
		d.Pool = p
	}
	s.Health = New(c, d)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, s.batches) }()
	s.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	return s
}

// after lets time pass.
func (s *shell) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func addr(cluster, node byte) netip.Addr { return netip.AddrFrom4([4]byte{172, 20, cluster, node}) }
func pods(cluster, node byte) netip.Addr { return netip.AddrFrom4([4]byte{10, cluster, node, 1}) }

// mesh2 is a batch with two clusters of two nodes.
func mesh2() view.Batch {
	var b view.Batch
	put := func(area clustermesh.Area, cluster string, o clustermesh.Object) {
		key := clustermesh.KeyOf(area, o)
		key.Cluster = cluster
		b.Events = append(b.Events, etcd.Event[clustermesh.Object]{Op: etcd.Put, Key: key.String(), Value: o, Revision: 1})
	}
	for i, name := range []string{"east", "west"} {
		area, cluster := clustermesh.Export, ""
		if i > 0 {
			area, cluster = clustermesh.Mirror, name
			put(area, cluster, &clustermesh.MirrorState{Phase: clustermesh.MirrorSynced})
			put(clustermesh.Private, "", &clustermesh.Peer{Name: name})
		}
		put(area, cluster, &clustermesh.Cluster{Name: name, ID: uint16(i + 1)})
		for n := byte(1); n <= 2; n++ {
			put(area, cluster, &clustermesh.Node{
				Name: fmt.Sprintf("%s-%d", name, n), Addresses: []netip.Addr{addr(byte(i+1), n)},
				PodCIDRs: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i + 1), n, 0}), 24)},
			})
		}
	}
	for _, area := range []clustermesh.Area{clustermesh.Export, clustermesh.Private, clustermesh.Mirror} {
		for _, k := range clustermesh.Tables(area) {
			key := clustermesh.Key{Area: area, Kind: clustermesh.KindSynced, Name: string(k)}
			if area == clustermesh.Mirror {
				key.Cluster = "west"
			}
			b.Events = append(b.Events, etcd.Event[clustermesh.Object]{Op: etcd.Synced, Key: key.String()})
		}
	}
	return b
}

// A node dies and comes back: the balancer is told, and people.
func TestShell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, Config{RunDir: t.TempDir(), Mode: On})
		defer s.stop()
		s.balancer.heard()
		s.wire.be(true, addr(2, 2), pods(2, 2))
		s.after(800 * time.Millisecond)
		s.wire.be(false, addr(2, 2), pods(2, 2))
		s.after(3 * time.Second)
		if told := s.balancer.heard(); !slices.Contains(told, "2/west-2 15") || told[len(told)-1] != "2/west-2 0" {
			t.Errorf("the balancer was told %v", told)
		}
		var got []string
		for _, e := range s.Snapshot().Events(0) {
			got = append(got, fmt.Sprintf("%d %s %s", e.Seq, e.What, e.To))
		}
		if want := []string{"1 west/west-2 down", "2 west/west-2 up"}; !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
		if e := s.Snapshot().Events(0)[0]; len(e.Evidence) != 2 || len(s.Snapshot().Events(1)) != 1 {
			t.Errorf("the first is %+v", e)
		}
	})
}

// The object of a dead node is deleted: its endpoints may be listed for longer, and so
// the balancer is not told that it is up. Made anew, it is up when it answers.
func TestShellNodeGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, Config{RunDir: t.TempDir(), Mode: On})
		defer s.stop()
		s.wire.be(true, addr(2, 2), pods(2, 2))
		s.after(3 * time.Second)
		s.balancer.heard()
		key := clustermesh.Key{Area: clustermesh.Mirror, Cluster: "west", Kind: clustermesh.KindNodes, Name: "west-2"}.String()
		s.batches <- view.Batch{Events: []etcd.Event[clustermesh.Object]{{Op: etcd.Delete, Key: key, Revision: 2}}}
		s.after(3 * time.Second)
		if told := s.balancer.heard(); !slices.Equal(told, []string{"2/west-2 gone"}) || s.state("west", "west-2") != "" {
			t.Errorf("the balancer was told %q", told)
		}
		s.batches <- mesh2()
		s.after(3 * time.Second)
		if told := s.balancer.heard(); !slices.Equal(told, []string{"2/west-2 15"}) {
			t.Errorf("made anew: told %q", told)
		}
		s.wire.be(false, addr(2, 2), pods(2, 2))
		s.after(30 * time.Second)
		if told := s.balancer.heard(); len(told) == 0 || told[len(told)-1] != "2/west-2 0" {
			t.Errorf("made anew, and it answers: told %q", told)
		}
	})
}

// An agent without records says of a node what answered it, and of the rest nothing: an
// earlier one may have called that down.
func TestShellKnowsInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, Config{RunDir: t.TempDir(), Mode: On})
		defer s.stop()
		s.wire.be(true, addr(2, 2))
		s.batches <- mesh2()
		s.after(5 * time.Second)
		of := func() []string {
			return slices.DeleteFunc(s.balancer.heard(), func(t string) bool { return !strings.HasPrefix(t, "2/west-2 ") })
		}
		if told := of(); !slices.Equal(told, []string{fmt.Sprintf("2/west-2 0 of %d", loadbalancer.PodsDown)}) {
			t.Errorf("its pods' prefix answers alone: told %q", told)
		}
		s.wire.be(false, addr(2, 2))
		s.after(5 * time.Second)
		if told := of(); !slices.Equal(told, []string{"2/west-2 0"}) {
			t.Errorf("all answers: told %q", told)
		}
	})
}

// While replies cannot be read nobody is silent for it.
func TestShellCannotReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, Config{RunDir: t.TempDir(), Mode: On})
		defer s.stop()
		s.balancer.heard()
		s.wire.mu.Lock()
		s.wire.broken = unix.EIO
		s.wire.mu.Unlock()
		s.after(5 * time.Second)
		if told := s.balancer.heard(); len(told) > 0 {
			t.Errorf("the balancer was told %v", told)
		}
	})
}

// Observed: people are told, the balancer is not.
func TestShellObserves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, Config{RunDir: t.TempDir(), Mode: Observe})
		defer s.stop()
		s.wire.be(true, addr(2, 2), pods(2, 2))
		s.after(800 * time.Millisecond)
		if events, told := s.Snapshot().Events(0), s.balancer.heard(); len(events) != 1 || !events[0].Observed || len(told) != 0 {
			t.Errorf("events %+v, told %v", events, told)
		}
	})
}

// Off: nobody is asked.
func TestShellIsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, Config{RunDir: t.TempDir(), Mode: Off})
		defer s.stop()
		if s.wire.sent != 0 || s.Snapshot().Mode != Off {
			t.Errorf("%d were sent, mode %v", s.wire.sent, s.Snapshot().Mode)
		}
		if err := s.SetByHand(t.Context(), "node", "west-1", "down"); err == nil {
			t.Error("a verdict was set")
		}
	})
}

// That there is no way to a node is a silence of its. What else keeps us from asking is
// our own affair: we judge nobody, say so, and go on when we can.
func TestShellCannotSend(t *testing.T) {
	for no, want := range map[error]clustermesh.VerdictState{
		unix.ENETUNREACH: "down", unix.EHOSTUNREACH: "down", unix.EINVAL: "down", unix.EACCES: "down", unix.ENETDOWN: "down",
		probe.ErrMute: "unmonitored", unix.EPERM: "unmonitored", unix.EADDRNOTAVAIL: "unmonitored", unix.ENOBUFS: "unmonitored",
	} {
		synctest.Test(t, func(t *testing.T) {
			s := start(t, Config{RunDir: t.TempDir(), Mode: On})
			defer s.stop()
			is := func(want clustermesh.VerdictState, why string, unsent bool) {
				t.Helper()
				for _, v := range s.Snapshot().Verdicts {
					if v.Cluster == "west" && (v.State != want || !strings.Contains(v.Reason, why) || v.Unsent != (unsent && v.Node != "")) {
						t.Errorf("with %v %s %s is %s, unsent %v: %s", no, v.Cluster, v.Node, v.State, v.Unsent, v.Reason)
					}
				}
			}
			s.wire.fail(fmt.Errorf("probing: %w", no))
			s.after(3 * time.Second)
			if want == "down" {
				is(want, "", false)
				return
			}
			is(want, no.Error(), true)
			s.wire.fail(nil)
			s.after(time.Second)
			is("up", "", false)
		})
	}
}

// A balancer that is busy holds nobody up, and hears all in order.
func TestShellDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, Config{RunDir: t.TempDir(), Mode: On})
		defer s.stop()
		s.balancer.heard()
		hold := make(chan struct{})
		s.balancer.wait(hold)
		s.wire.be(true, addr(2, 1), pods(2, 1), addr(2, 2), pods(2, 2))
		s.after(time.Second)
		if n := len(s.Snapshot().Events(0)); n != 3 {
			t.Errorf("%d events", n)
		}
		close(hold)
		synctest.Wait()
		told := s.balancer.heard()
		slices.Sort(told)
		if got := strings.Join(slices.Compact(told), ", "); got != "2/ 5, 2/west-1 15, 2/west-2 15" {
			t.Errorf("told %s", got)
		}
	})
}

// By hand, over a restart; and who was down stays so over one.
func TestShellRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := start(t, Config{RunDir: dir, Mode: On})
		for _, name := range []string{"nix", "west/nix", "east/west-1"} {
			if err := s.SetByHand(t.Context(), "node", name, "down"); err == nil {
				t.Errorf("%s was taken", name)
			}
		}
		if err := s.SetByHand(t.Context(), "node", "west-1", "down"); err != nil {
			t.Fatal(err)
		}
		s.wire.be(true, addr(2, 2), pods(2, 2))
		s.after(time.Second)
		s.stop()
		if !s.wire.closed {
			t.Error("the prober is open")
		}
		again := start(t, Config{RunDir: dir, Mode: On})
		if told := again.balancer.heard(); !slices.Contains(told, "2/west-1 15") || !slices.Contains(told, "2/west-2 15") {
			t.Errorf("told %v", told)
		}
		if err := again.SetByHand(t.Context(), "node", "west/west-1", ""); err != nil {
			t.Error(err)
		}
		again.after(time.Second)
		if told := again.balancer.heard(); !slices.Contains(told, "2/west-1 0") {
			t.Errorf("told %v", told)
		}
		again.stop()
	})
}

func TestConfig(t *testing.T) {
	good := Config{Mode: On, Knobs: DefaultKnobs()}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for flag, change := range map[string]func(*Config){
		"--failover": func(c *Config) { c.Mode = "maybe" }, "--probe-interval": func(c *Config) { c.Knobs.Interval = time.Millisecond },
		"--probe-burst": func(c *Config) { c.Knobs.Burst = 1 }, "--probe-budget": func(c *Config) { c.Knobs.Budget = 79 },
	} {
		c := good
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s: %v", flag, err)
		}
	}
}
