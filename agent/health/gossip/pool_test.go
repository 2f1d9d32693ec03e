package gossip

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
)

// What one says all hear once; what is for one, one hears.
func TestPool(t *testing.T) {
	r := newRig(t)
	nodes := []int{1, 2, 3, 4, 5, 6, 7}
	all := r.pool(nodes...)
	began := time.Now()
	for i := range 50 {
		all[0].Broadcast(fmt.Appendf(nil, "%d", i))
	}
	r.until("all heard all", func() bool {
		for _, p := range all[1:] {
			if p.look(); len(p.heard) < 50 {
				return false
			}
		}
		return true
	})
	t.Logf("50 payloads reached six others in %v", time.Since(began))
	all[1].Send("n3", []byte("you"))
	r.until("the one heard it", func() bool { all[2].look(); return all[2].heard["n2 you"] == 1 })
	for i, p := range all {
		p.look()
		for what, n := range p.heard {
			if n != 1 || strings.HasPrefix(what, name(i+1)+" ") || strings.HasSuffix(what, "you") && i != 2 {
				t.Errorf("n%d heard %q %d times", i+1, what, n)
			}
		}
	}
	all[0].Broadcast(make([]byte, MaxPayload+1))
	all[0].Send("nobody", []byte("x"))
	if s := all[0].Snapshot(); s.Sent != 50 || !s.Running || len(s.Members) != 7 || s.Address != netip.AddrPortFrom(at(1), r.port) {
		t.Errorf("%+v", s)
	}
}

// The members follow the store, and who leaves in order has left at once.
func TestMembers(t *testing.T) {
	r := newRig(t)
	all := r.pool(1, 2, 3)
	four := r.start(4)
	four.learn(r.batch(1, 2, 3, 4))
	for _, p := range all {
		p.learn(r.batch(1, 2, 3, 4))
	}
	all = append(all, four)
	r.until("the fourth is a member", func() bool { return together([]int{1, 2, 3, 4}, all...) })

	began := time.Now()
	all[1].stop()
	r.until("the second has left", func() bool { return together([]int{1, 3, 4}, all[0], all[2], all[3]) })
	took := time.Since(began)
	r.until("it is known to have left", func() bool {
		s := all[0].Snapshot()
		return s.Members[1].Node == "n2" && s.Members[1].State == StateLeft
	})
	t.Logf("noticed after %v", took)
	again := r.start(2)
	again.learn(r.batch(1, 2, 3, 4))
	r.until("the second is back", func() bool { return together([]int{1, 2, 3, 4}, all[0], again, all[2], all[3]) })
	again.Broadcast([]byte("back"))
	r.until("it is heard", func() bool { all[3].look(); return all[3].heard["n2 back"] == 1 })
}

// A node that the store no longer has is no member, whatever it says.
func TestExpelled(t *testing.T) {
	r := newRig(t)
	all := r.pool(1, 2, 3)
	gone := r.batch(1, 2)
	gone.Events = append(gone.Events, deleted(&clustermesh.Node{Name: "n3"}))
	all[0].learn(gone)
	all[1].learn(gone)
	r.until("it is gone", func() bool { return together([]int{1, 2}, all[0], all[1]) })
	r.until("what it says is refused", func() bool {
		all[2].Broadcast([]byte("I am here"))
		return all[0].Snapshot().Refused["stranger"] > 0
	})
	if all[0].look(); len(all[0].heard) > 0 {
		t.Errorf("heard %v", all[0].heard)
	}
}

// Without the store the pool is as it was kept.
func TestStartWithoutStore(t *testing.T) {
	r := newRig(t)
	all := r.pool(1, 2, 3)
	for _, p := range all {
		p.stop()
	}
	for i := 1; i <= 3; i++ {
		s, err := os.Stat(filepath.Join(r.dirs[i], file))
		if err != nil || s.Mode().Perm() != 0o600 {
			t.Errorf("what is kept: %v, %v", s, err)
		}
		all[i-1] = r.start(i)
	}
	r.until("all are members", func() bool { return together([]int{1, 2, 3}, all...) })
	all[0].Broadcast([]byte("hello"))
	r.until("the others heard", func() bool {
		all[1].look()
		all[2].look()
		return all[1].heard["n1 hello"] == 1 && all[2].heard["n1 hello"] == 1
	})

	// What another node kept, or half of it, is not taken.
	for i, change := range map[int]func([]byte) []byte{
		1: func(b []byte) []byte { return b[:len(b)/2] },
		2: func(b []byte) []byte { return []byte(strings.Replace(string(b), `"node":"n2"`, `"node":"n9"`, 1)) },
		3: func(b []byte) []byte { return []byte(strings.Replace(string(b), `"use":0`, `"use":3`, 1)) },
	} {
		all[i-1].stop()
		path := filepath.Join(r.dirs[i], file)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, change(b), 0o600); err != nil {
			t.Fatal(err)
		}
		p := r.start(i)
		if p.learn(view.Batch{}); p.Snapshot().Running {
			t.Errorf("n%d took what is kept", i)
		}
	}
}

// Where it cannot listen it says so, and goes on trying.
func TestPortTaken(t *testing.T) {
	r := newRig(t)
	taken, err := net.Listen("tcp", netip.AddrPortFrom(at(1), r.port).String())
	if err != nil {
		t.Fatal(err)
	}
	p := r.start(1)
	p.learn(r.batch(1, 2))
	r.until("it says so", func() bool { return strings.Contains(p.Snapshot().Problem, "listening for gossip") })
	taken.Close()
	r.until("it gossips", func() bool { s := p.Snapshot(); return s.Running && s.Problem == "" })
}

// A node that has another address gossips there.
func TestMoved(t *testing.T) {
	r := newRig(t)
	all := r.pool(1, 2)
	b := r.batch(1, 2)
	b.Events = append(b.Events, put(&clustermesh.Node{Name: "n2", Addresses: []netip.Addr{at(20)}}))
	for _, p := range all {
		p.learn(b)
	}
	r.until("it is a member there", func() bool {
		return together([]int{1, 2}, all...) && all[0].Snapshot().Members[1].Address.Addr() == at(20)
	})
	r.until("it is heard", func() bool {
		all[1].Broadcast([]byte("here"))
		all[0].look()
		return all[0].heard["n2 here"] > 0
	})
}
