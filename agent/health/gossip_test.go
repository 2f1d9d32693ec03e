package health

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Agents come to the pool and leave it, in order or not, all of them at last and
// back again: that is nobody's death, and whom they watched others watch.
func TestMembersAreNoVerdict(t *testing.T) {
	w := newWorld(t, 10, 10, 10)
	w.settle()
	random := rand.New(rand.NewPCG(5, 6))
	for i := range 60 {
		var there []string
		for _, name := range w.membersOf("a") {
			if i != 30 && random.IntN(3) > 0 {
				there = append(there, name)
			}
		}
		for _, name := range w.membersOf("a") {
			a := w.agents[Name{"a", name}]
			if slices.Contains(there, name) {
				a.machine.SetMembers(there)
			} else {
				a.machine.SetMembers([]string{name}) // it hears nobody
			}
			w.step(a)
		}
		w.run(time.Second)
		watched := map[Name]int{}
		for _, name := range w.membersOf("a") {
			a := w.agents[Name{"a", name}]
			for who, n := range a.machine.nodes {
				if n.watched && slices.Contains(there, name) {
					watched[who]++
				}
				if !n.watched && !slices.Contains(there, name) && who != a.name {
					t.Fatalf("%s is alone and does not watch %v", name, who)
				}
			}
		}
		for _, tg := range w.targets {
			if others := len(there) - 1; watched[tg.Name] == 0 && others > 0 {
				t.Fatalf("nobody of %v watches %v", there, tg.Name)
			}
		}
	}
	w.noDowns()
	// Who is alone notices a death as well.
	for _, name := range w.membersOf("a") {
		w.agents[Name{"a", name}].machine.SetMembers(nil)
	}
	dead := node1("b", 3)
	w.agents[dead].dead = true
	w.run(3 * time.Second)
	for _, name := range w.membersOf("a") {
		if m := w.agents[Name{"a", name}].machine; !m.nodes[dead].allDown() || !m.alone() {
			t.Errorf("%s did not notice", name)
		}
	}
}

// chat is a pool whose others are the test.
type chat struct {
	said     [][]byte
	sent     []Message // From is to whom
	received chan Message
	members  chan []string
}

func newChat() *chat { return &chat{received: make(chan Message), members: make(chan []string, 1)} }

func (c *chat) Broadcast(b []byte)       { c.said = append(c.said, b) }
func (c *chat) Send(to string, b []byte) { c.sent = append(c.sent, Message{to, b}) }
func (c *chat) Received() <-chan Message { return c.received }
func (c *chat) Members() <-chan []string { return c.members }

// The shell shares the watching with whom the pool has, and tells it what it sees.
func TestShellGossips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := newChat()
		s := start(t, Config{RunDir: t.TempDir(), Mode: On}, pool)
		defer s.stop()
		if !s.Snapshot().Alone {
			t.Error("it is not alone before it has members")
		}
		pool.members <- []string{"east-1", "east-2"}
		s.after(time.Second)
		if s.Snapshot().Alone {
			t.Error("it is alone with members")
		}
		s.wire.be(true, addr(2, 2), pods(2, 2))
		s.after(800 * time.Millisecond)
		var got []string
		for _, b := range pool.said {
			r, err := ParseReport(b)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(r.Name, " ", r.State))
		}
		if want := []string{"west/west-2 suspect", "west/west-2 down"}; !slices.Equal(slices.Compact(got), want) {
			t.Errorf("it said %v, want %v", got, want)
		}
		pool.received <- Message{"east-2", []byte("\xff\xff")}
		pool.members <- nil
		s.after(time.Second)
		if snap := s.Snapshot(); !snap.Alone || snap.Unread != 1 {
			t.Errorf("%+v", snap)
		}
		if n := len(s.Snapshot().Events(0)); n != 1 {
			t.Errorf("%d events: losing the pool is none", n)
		}
	})
}
