package probe

import (
	"net/netip"
	"testing"
	"time"

	"tombolo.io/tombolo/bpf"
)

var (
	begin  = time.Now()
	target = Target{netip.MustParseAddr("10.2.1.77"), bpf.ProbePods}
	reply  = bpf.Probe{Reply: true, Kind: bpf.ProbePods, Nonce: 7, Target: target.Address, Epoch: 3}
	source = netip.AddrPortFrom(target.Address, 7947)
)

// One thing about a good reply is changed in each row.
func TestSettle(t *testing.T) {
	change := func(f func(*bpf.Probe)) []byte { p := reply; f(&p); return p.Append(nil) }
	for _, c := range []struct {
		what     string
		datagram []byte
		from     netip.AddrPort
		want     fault
	}{
		{"nothing", reply.Append(nil), source, accepted},
		{"more behind it", append(reply.Append(nil), 1, 2), source, accepted},
		{"a request", change(func(p *bpf.Probe) { p.Reply = false }), source, malformed},
		{"cut", reply.Append(nil)[:bpf.ProbeSize-1], source, malformed},
		{"empty", nil, source, malformed},
		{"another nonce", change(func(p *bpf.Probe) { p.Nonce++ }), source, unknown},
		{"another address", reply.Append(nil), netip.MustParseAddrPort("10.2.1.78:7947"), elsewhere},
		{"another port", reply.Append(nil), netip.MustParseAddrPort("10.2.1.77:7948"), elsewhere},
		{"says another address", change(func(p *bpf.Probe) { p.Target = p.Target.Next() }), source, elsewhere},
		{"says no address", change(func(p *bpf.Probe) { p.Target = netip.Addr{} }), source, elsewhere},
		{"another kind", change(func(p *bpf.Probe) { p.Kind = bpf.ProbeNode }), source, elsewhere},
	} {
		t.Run(c.what, func(t *testing.T) {
			l := newLedger(7947, time.Second)
			l.asked(7, target, begin)
			now := begin.Add(20 * time.Millisecond)
			got, why := l.settle(c.datagram, c.from, now, 5*time.Millisecond)
			if why != c.want {
				t.Fatalf("it is %d, want %d", why, c.want)
			}
			if why == accepted && (got.RTT() != 15*time.Millisecond || got.Target != target || got.Nonce != 7 || got.Epoch != 3) {
				t.Errorf("it is %+v", got)
			}
			// Only what was accepted uses the nonce up.
			_, again := l.settle(reply.Append(nil), source, now, 0)
			if (again == unknown) != (c.want == accepted) {
				t.Errorf("a good reply then is %d", again)
			}
		})
	}
}

// The clock that stamps may jump; a reply arrived after it was asked for, and
// before it was read.
func TestArrival(t *testing.T) {
	now := begin.Add(20 * time.Millisecond)
	for age, want := range map[time.Duration]time.Duration{
		0:                     20 * time.Millisecond,
		5 * time.Millisecond:  15 * time.Millisecond,
		-time.Hour:            20 * time.Millisecond,
		time.Hour:             0,
		20 * time.Millisecond: 0,
	} {
		l := newLedger(7947, time.Second)
		l.asked(7, target, begin)
		if got, _ := l.settle(reply.Append(nil), source, now, age); got.RTT() != want {
			t.Errorf("with an age of %v it took %v, want %v", age, got.RTT(), want)
		}
	}
}

// What is too old is forgotten, whatever was answered or taken back meanwhile.
func TestForget(t *testing.T) {
	l := newLedger(7947, time.Second)
	for n := range uint64(10) {
		l.asked(n, target, begin.Add(time.Duration(n)*time.Millisecond))
	}
	l.unsent(1)
	l.settle(reply.Append(nil), source, begin.Add(20*time.Millisecond), 0)
	l.asked(10, target, begin.Add(time.Second+4*time.Millisecond))
	for n, want := range map[uint64]bool{0: false, 1: false, 4: false, 5: true, 6: true, 7: false, 8: true, 10: true} {
		if _, got := l.waiting[n]; got != want {
			t.Errorf("%d is waited for: %v, want %v", n, got, want)
		}
	}
	l.asked(11, target, begin.Add(time.Hour))
	if len(l.waiting) != 1 || len(l.order) != 1 {
		t.Errorf("after an hour it holds %d of %d", len(l.waiting), len(l.order))
	}
}

func FuzzSettle(f *testing.F) {
	f.Add(reply.Append(nil), int64(1))
	f.Add([]byte("tmbo"), int64(-1))
	f.Fuzz(func(t *testing.T, datagram []byte, age int64) {
		l := newLedger(7947, time.Second)
		l.asked(7, target, begin)
		now := begin.Add(time.Second)
		got, why := l.settle(datagram, source, now, time.Duration(age))
		if why != accepted {
			return
		}
		if got.Target != target || got.Nonce != 7 || got.Arrived.Before(begin) || got.Arrived.After(now) {
			t.Errorf("%x is taken for %+v", datagram, got)
		}
	})
}
