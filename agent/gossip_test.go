package agent

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/agent/health/gossip"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/internal/control"
	"tombolo.io/tombolo/internal/etcdtest"
)

// keyring is what a leader writes.
func keyring(use uint8, secrets ...clustermesh.GossipSecret) *clustermesh.Keyring {
	k := &clustermesh.Keyring{Use: use}
	for _, s := range secrets {
		k.Keys = append(k.Keys, clustermesh.GossipKey{Secret: s, Since: time.Unix(1, 0)})
	}
	return k
}

func (r *rig) putPrivate(o clustermesh.Object) {
	r.Helper()
	value, err := clustermesh.Encode(o)
	if err != nil {
		r.Fatal(err)
	}
	etcdtest.Put(r, r.client, clustermesh.KeyOf(clustermesh.Private, o).String(), string(value))
}

// freePort returns a port that is free now.
func freePort(t *testing.T) uint16 {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// aside runs the test once more in a network namespace of its own, whose lo has
// these addresses, and returns true there.
func aside(t *testing.T, addresses ...string) bool {
	const inside = "TOMBOLO_TEST_ASIDE"
	if os.Getenv(inside) == "" {
		c := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
		c.Env = append(os.Environ(), inside+"=1")
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return false
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	for _, text := range addresses {
		var a *netlink.Addr
		if err == nil {
			a, err = netlink.ParseAddr(text)
		}
		if err == nil {
			err = netlink.AddrAdd(lo, a)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return true
}

// An agent finds another through the store, shares the watching with it, reports the
// keys that it has, and says that it leaves.
func TestGossip(t *testing.T) {
	if !aside(t, "10.1.9.1/32", "10.1.9.2/32") {
		return
	}
	r := newRig(t)
	r.config.GossipPort = freePort(t)
	one, two := clustermesh.NewGossipSecret(), clustermesh.NewGossipSecret()
	for i, node := range []string{"n1", "n2"} {
		r.put(&clustermesh.Node{Name: node, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 1, 9, byte(i + 1)})}})
	}
	r.put(east)
	r.vouch()
	r.putPrivate(keyring(0, one))

	// The other is a pool without an agent around it.
	other := gossip.New(gossip.Config{Node: "n2", RunDir: t.TempDir(), Port: r.config.GossipPort}, etcdtest.Log())
	ctx, cancel := context.WithCancel(context.Background())
	batches, done := make(chan view.Batch), make(chan error, 2)
	go func() { done <- view.Watch(ctx, r.client, etcdtest.Log(), batches) }()
	go func() { done <- other.Run(ctx, batches) }()
	defer func() { cancel(); <-done; <-done }()

	a := r.start()
	var members []string
	r.until("the other hears it", func() bool {
		select {
		case members = <-other.Members():
		default:
		}
		return slices.Equal(members, []string{"n1", "n2"})
	})
	var shown gossip.Snapshot
	r.until("it hears the other", func() bool {
		err := r.ask("/gossip", &shown)
		return err == nil && len(shown.Members) == 2 && shown.Members[1].State == gossip.StateAlive
	})
	reported := func() []string {
		key := clustermesh.KeyOf(clustermesh.Status, &clustermesh.ProcessStatus{Role: Role, Node: "n1"})
		kv, ok, err := r.client.Get(t.Context(), key.String())
		if err != nil || !ok {
			return nil
		}
		o, err := clustermesh.DecodeAt(kv.Key, kv.Value)
		if err != nil {
			t.Fatal(err)
		}
		return o.(*clustermesh.ProcessStatus).GossipKeys
	}
	r.until("it reports its key", func() bool { return slices.Equal(reported(), []string{one.ID()}) })
	// As the leader rotates: a key is used once all have it, so nothing is refused.
	r.putPrivate(keyring(0, one, two))
	r.until("both have the new key", func() bool {
		had := []string{one.ID(), two.ID()}
		return slices.Equal(reported(), had) && slices.Equal(other.Snapshot().Keys, had)
	})
	r.putPrivate(keyring(1, one, two))
	r.until("it reports both, the one in use first", func() bool { return slices.Equal(reported(), []string{two.ID(), one.ID()}) })
	var latency health.Latency
	r.until("it asks the other, who does not answer", func() bool {
		err := r.ask("/latency", &latency)
		return err == nil && len(latency.From) == 1 && slices.Equal(latency.Missing, []string{"n2"})
	})
	text, err := control.NewClient(r.config.RunDir, Role).Raw(t.Context(), "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"tombolo_gossip_running 1", `tombolo_gossip_members{state="alive"} 2`, `tombolo_gossip_refused_total{reason="key"} 0`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	a.stop()
	r.until("the other knows that it left", func() bool {
		m := other.Snapshot().Members
		return len(m) == 2 && m[0].State == gossip.StateLeft
	})
}

// Without a port, or without failover, there is no gossip.
func TestNoGossip(t *testing.T) {
	c := Config{Failover: health.On}
	if c.gossips() {
		t.Error("it gossips without a port")
	}
	c.GossipPort, c.Failover = 1, health.Off
	if c.gossips() {
		t.Error("it gossips for nobody")
	}
	a := New(c, etcdtest.Log())
	if _, err := a.gossip(nil); err == nil || !strings.Contains(err.Error(), "does not gossip") {
		t.Errorf("asked for gossip it says %v", err)
	}
}

func TestGossipConcerns(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	me, you := netip.MustParseAddrPort("192.0.2.1:7946"), netip.MustParseAddrPort("192.0.2.2:7946")
	with := func(state gossip.State, ago time.Duration) *Gossip {
		return &Gossip{Running: true, Address: me, Members: []gossip.Member{
			{Node: "n1", Address: me, State: gossip.StateAlive}, {Node: "n2", Address: you, State: state, Since: now.Add(-ago)}}}
	}
	idle := with(gossip.StateUnknown, 0)
	idle.Running = false
	idle.Members[1].Since = time.Time{}
	for _, c := range []struct {
		what string
		s    *Gossip
		up   time.Duration
		want string
	}{
		{"none is wanted", nil, time.Hour, ""},
		{"heard", with(gossip.StateAlive, time.Hour), time.Hour, ""},
		{"left", with(gossip.StateLeft, time.Hour), time.Hour, ""},
		{"just lost", with(gossip.StateLost, deaf-1), time.Hour, ""},
		{"lost", with(gossip.StateLost, deaf), time.Hour, "reaches none of 1 other agents"},
		{"just started", with(gossip.StateUnknown, time.Hour), deaf - 1, ""},
		{"never heard", with(gossip.StateUnknown, time.Hour), deaf, "port 7946"},
		{"no keys", idle, deaf, "keys are not in the store"},
		{"no port", &Gossip{Problem: "in use"}, 0, "no gossip, so that this node watches all others itself: in use"},
		{"nobody else", &Gossip{Running: true, Address: me}, time.Hour, ""},
	} {
		got := strings.Join(gossipConcerns(c.s, now.Add(-c.up), now), "\n")
		if !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}
