package gossip

import (
	"bytes"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/memberlist"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
)

func put(o clustermesh.Object) etcd.Event[clustermesh.Object] {
	return etcd.Event[clustermesh.Object]{Op: etcd.Put, Key: clustermesh.KeyOf(clustermesh.Export, o).String(), Value: o, Revision: 2}
}

func deleted(o clustermesh.Object) etcd.Event[clustermesh.Object] {
	return etcd.Event[clustermesh.Object]{Op: etcd.Delete, Key: clustermesh.KeyOf(clustermesh.Export, o).String(), Revision: 2}
}

// pages is a log that may be read while it is written.
type pages struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *pages) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *pages) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// Who has another key, or is of another cluster, is not let in, and heard by
// nobody; that is counted and told once.
func TestRefused(t *testing.T) {
	for want, change := range map[string]func(*rig){
		"key":     func(r *rig) { r.ring = ringOf(0, clustermesh.NewGossipSecret()) },
		"foreign": func(r *rig) { r.cluster = "west" },
	} {
		t.Run(want, func(t *testing.T) {
			r := newRig(t)
			logged := &pages{}
			r.log = slog.New(slog.NewTextHandler(logged, nil))
			all := r.pool(1, 2)
			for _, p := range all {
				p.learn(r.batch(1, 2, 3))
			}
			change(r)
			other := r.start(3)
			other.learn(r.batch(1, 2, 3))
			r.until("it was refused twice, and told", func() bool {
				return all[0].Snapshot().Refused[want] > 1 && strings.Contains(logged.String(), "reason="+want)
			})
			if !together([]int{1, 2}, all...) {
				t.Errorf("members %v", all[0].members)
			}
			// It is refused from its first word, before it says itself that it gossips.
			r.until("the other gossips", func() bool { other.look(); return len(other.members) > 0 })
			if !slices.Equal(other.members, named(3)) {
				t.Errorf("the other has %v", other.members)
			}
			if n := strings.Count(logged.String(), "reason="+want); n != 1 {
				t.Errorf("logged %d times:\n%s", n, logged)
			}
		})
	}
}

// Garbage, by datagrams and streams, of members and of strangers, changes nothing.
func TestGarbage(t *testing.T) {
	r := newRig(t)
	all := r.pool(1, 2)
	for _, p := range all {
		p.learn(r.batch(1, 2, 66))
	}
	to := netip.AddrPortFrom(at(1), r.port)
	random := rand.New(rand.NewPCG(1, 2))
	garbage := func(i int) []byte {
		b := make([]byte, random.IntN(1400))
		for j := range b {
			b[j] = byte(random.Uint32())
		}
		switch i % 4 {
		case 0: // a label that is cut
			b = append([]byte{244, 200}, b[:min(len(b), 20)]...)
		case 1: // our label, and an encryption version
			b = append([]byte("\xf4\x04east\x01"), b...)
		case 2:
			b = append([]byte("\xf4\x04east\x00"), b...)
		}
		return b
	}
	for _, from := range []int{66, 77} { // a member, and none
		conn, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at(from), 0)), net.UDPAddrFromAddrPort(to))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 500 {
			if _, err := conn.Write(garbage(i)); err != nil {
				t.Fatal(err)
			}
		}
		_, err = conn.Write(make([]byte, 9000))
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: at(from).AsSlice()}}
		for i := range 2 * maxStreams {
			c, err := d.Dial("tcp", to.String())
			if err != nil {
				t.Fatal(err)
			}
			_, _ = c.Write(garbage(i)) // it may be closed already
			t.Cleanup(func() { c.Close() })
		}
	}
	r.until("all kinds were refused", func() bool {
		f := all[0].Snapshot().Refused
		return f["stranger"] > 0 && f["malformed"] > 0 && f["key"] > 0 && f["foreign"] > 0
	})
	// It says so again and again, for a datagram may find the queue full of garbage.
	r.until("others are heard", func() bool {
		all[1].Broadcast([]byte("still here"))
		all[0].look()
		return all[0].heard["n2 still here"] > 0
	})
	if len(all[0].heard) != 1 {
		t.Errorf("heard %v", all[0].heard)
	}
	t.Logf("refused %v", all[0].Snapshot().Refused)
}

// Who has the key and says what no member says is refused too.
func TestLiar(t *testing.T) {
	r := newRig(t)
	all := r.pool(1, 2)
	for _, p := range all {
		p.learn(r.batch(1, 2, 3))
	}
	liar := r.start(3)
	liar.learn(r.batch(1, 2, 3))
	all = append(all, liar)
	r.until("the liar is a member", func() bool { return together([]int{1, 2, 3}, all...) })
	send := func(b []byte) {
		t.Helper()
		if err := liar.list.Load().SendToAddress(memberlist.Address{Addr: netip.AddrPortFrom(at(1), r.port).String()}, b); err != nil {
			t.Fatal(err)
		}
	}
	send(letter{kind: toAll, from: "n9", number: 1, payload: []byte("lie")}.append(nil))
	send([]byte("no letter"))
	send([]byte{letterVersion, byte(toAll), 200, 'n'})
	r.until("they are refused", func() bool {
		f := all[0].Snapshot().Refused
		return f["unlisted"] == 1 && f["malformed"] == 2
	})
	// Its store has a member that ours has not.
	liar.learn(r.batch(1, 2, 3, 9))
	nine := r.start(9)
	nine.learn(r.batch(1, 2, 3, 9))
	r.until("the liar has it", func() bool { liar.look(); return len(liar.members) == 4 })
	r.until("it is refused", func() bool { return all[0].Snapshot().Refused["unlisted"] > 1 })
	if !together([]int{1, 2, 3}, all[0], all[1]) {
		t.Errorf("members %v", all[0].members)
	}
}

// Nobody takes what arrives: what is held is bounded.
func TestOverflow(t *testing.T) {
	r := newRig(t)
	all := r.pool(1, 2)
	payload := make([]byte, 10)
	r.until("it is full", func() bool {
		for range 100 {
			all[0].Broadcast(payload)
		}
		return all[1].Snapshot().Refused["overflow"] > 0
	})
	if n := len(all[1].received); n != maxReceived {
		t.Errorf("%d are held", n)
	}
	for range 2 * maxQueue {
		all[0].Broadcast(payload)
	}
	if n := all[0].queue.NumQueued(); n > maxQueue {
		t.Errorf("%d are to be sent", n)
	}
}

func TestSeen(t *testing.T) {
	s := newSeen()
	for i := range uint64(3 * remembered) {
		if l := (letter{from: "a", number: i}); !s.add(l) || s.add(l) {
			t.Fatalf("letter %d", i)
		}
	}
	if len(s.known) != remembered || len(s.order) != remembered {
		t.Errorf("%d and %d are remembered", len(s.known), len(s.order))
	}
	if s.add(letter{from: "a", number: 2*remembered + 1}) || !s.add(letter{from: "b", number: 2*remembered + 1}) {
		t.Error("letters are confused")
	}
}

// The lines by which memberlist tells what it refuses.
func TestRefusal(t *testing.T) {
	for line, want := range map[string]string{
		`[ERR] memberlist: discarding packet with unacceptable label "west": from=127.0.0.3:1`:                             "foreign",
		`[ERR] memberlist: Decrypt packet failed: no installed keys could decrypt the message from=127.0.0.3:1`:            "key",
		`[ERR] memberlist: failed to receive: encryption is configured but remote state is not encrypted from=127.0.0.3:1`: "key",
		`[ERR] memberlist: msg type (77) not supported from=127.0.0.3:1`:                                                   "malformed",
		`[WARN] memberlist: handler queue full, dropping message (8) from=127.0.0.3:1`:                                     "overflow",
		`[ERR] memberlist: Push/Pull with n2 failed: dial tcp 127.0.0.2:1: connect: connection refused`:                    "",
		`[INFO] memberlist: Suspect n2 has failed, no acks received`:                                                       "",
	} {
		got := ""
		if r, ok := refusal(line); ok {
			got = r.String()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(letter{kind: toAll, from: "n1", number: 7, payload: []byte("x")}.append(nil))
	f.Add([]byte{1, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := open(b)
		if err == nil && !bytes.Equal(l.append(nil), b) {
			t.Errorf("%q becomes %+v", b, l)
		}
	})
}
