package gossip

import (
	"net"
	"net/netip"
	"testing"
)

// A member answers while it gossips, and a stream that greets and ends is refused by
// nobody.
func TestReach(t *testing.T) {
	r := newRig(t)
	one, two := r.start(1), r.start(2)
	one.learn(r.batch(1, 2, 3))
	two.learn(r.batch(1, 2, 3))
	r.until("they hear each other", func() bool { return len(one.Snapshot().Members) == 3 && one.present("n2") && two.present("n1") })
	if !one.Answers(t.Context(), "n2") {
		t.Error("a member does not answer")
	}
	if one.Answers(t.Context(), "n3") {
		t.Error("one answers who is not there")
	}
	for node, want := range map[string]netip.AddrPort{"n2": netip.AddrPortFrom(at(2), r.port), "n1": {}, "n9": {}} {
		if got := one.Where("east", node); got != want {
			t.Errorf("%s is at %v, want %v", node, got, want)
		}
	}
	if got := one.Where("west", "n2"); got.IsValid() {
		t.Errorf("a node of another cluster is at %v", got)
	}
	greet := func(greeting []byte) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: at(1).AsSlice()}}
		c, err := d.Dial("tcp", one.Where("east", "n2").String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(greeting); err != nil {
			t.Fatal(err)
		}
		// The member ends the stream when it has judged it.
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		c.Read(make([]byte, 1))
		c.Close()
	}
	greet(Greeting("east"))
	greet(Greeting("west")) // this one is refused, and counted after the other was
	r.until("another's is refused", func() bool { return two.Snapshot().Refused["foreign"] > 0 })
	for reason, n := range two.Snapshot().Refused {
		if n != 0 && (reason != "foreign" || n != 1) {
			t.Errorf("refused as %s: %d", reason, n)
		}
	}
}
