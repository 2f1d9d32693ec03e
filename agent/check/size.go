package check

import (
	"context"
	"net/netip"
	"time"

	"tombolo.io/tombolo/bpf"
)

// search looks for the longest packet that passes to a node and back: from the
// whole that the device takes, by what ICMP says, or else by halves.
type search struct {
	path *Path
	// passes and fails are the longest that came back and the shortest that did not.
	passes, fails int
	// next is what to ask now; 0 when it is found.
	next int
	// told is what ICMP said would pass, by whom; 0 if nobody said.
	told   int
	toldBy netip.Addr
	// sure: the whole was asked once more, so that a short one is not mere bad luck.
	sure bool
}

// smallest is the packet that was answered before a search.
func smallest(f *family) int { return f.header + 8 + bpf.ProbeSize + bpf.SeenSize }

func newSearch(p *Path, f *family) *search {
	return &search{path: p, passes: smallest(f), fails: p.Size.Device + 1, next: p.Size.Device}
}

// learn takes in what became of asking next, and chooses what to ask then.
func (s *search) learn(answered bool, toldBy netip.Addr, told int) {
	whole := s.path.Size.Device
	switch {
	case answered && s.next >= s.fails: // what failed before was lost by chance
		s.passes, s.fails = s.next, whole+1
	case answered:
		s.passes = max(s.passes, s.next)
	default:
		s.fails = min(s.fails, s.next)
	}
	asked := s.next
	if toldBy.IsValid() {
		s.told, s.toldBy = told, toldBy
	}
	switch found := s.fails-s.passes <= 1; {
	case found && (s.sure || s.passes >= whole):
		s.next = 0
	case found:
		s.sure, s.next = true, whole
	case s.passes < s.told && s.told < s.fails:
		s.next = s.told
	case answered && asked == s.told:
		s.next = s.told + 1
	default:
		s.next = (s.passes + s.fails) / 2
	}
	s.path.Size.Passes, s.path.Size.ToldBy = s.passes, netip.Addr{}
	if s.told == s.passes {
		s.path.Size.ToldBy = s.toldBy
	}
}

// maxRounds ends a search whose packets are lost by chance.
const maxRounds = 40

// sizes looks how long packets may be to those that answer.
func (r *run) sizes(ctx context.Context) error {
	var open []*search
	wait := shortGap
	for _, p := range r.paths {
		if p.Legs[AddressToAddress].Answered && p.Size.Device > smallest(r.wire.family) {
			open = append(open, newSearch(p, r.wire.family))
			wait = max(wait, min(3*p.RTT, time.Second))
		}
	}
	for range maxRounds {
		var all []asking
		var asked []*search
		for _, s := range open {
			if s.next > 0 {
				q := &question{way: AddressToAddress, from: r.address, to: s.path.Address, bootID: s.path.BootID, size: s.next}
				all, asked = append(all, asking{q, s.path}), append(asked, s)
			}
		}
		if len(all) == 0 {
			return nil
		}
		if err := r.askAll(ctx, all, sizings, wait); err != nil {
			return err
		}
		for i, s := range asked {
			s.learn(all[i].leg.Answered, all[i].told, all[i].mtu)
		}
	}
	return nil
}
