package bpf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Whatever the bytes of a packet are: it passes untouched, is dropped, is answered to
// whom it came from, or goes to a backend of the port that it was for.
func TestPacketMutations(t *testing.T) {
	mutate(t, newRoad(t, PacketsConfig{}))
}

// The same where packets go in tunnels, and come in such.
func TestTunnelMutations(t *testing.T) {
	mutate(t, newTunnels(t))
}

func mutate(t *testing.T, r *road) {
	const rounds = 10000
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	err := r.ns.Do(func() error {
		for _, f := range families {
			for _, program := range []*ebpf.Program{r.in.program, r.out.program} {
				for range rounds / 4 {
					if err := r.tries(program, f, mutated(rnd, r.bases(f, rnd))); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// tries says what is wrong with what a program makes of a packet.
func (r *road) tries(program *ebpf.Program, f family, b []byte) error {
	verdict, out, err := r.runs(program, slices.Clone(b))
	if err != nil || verdict == shot || bytes.Equal(b, out) && verdict == passed {
		return err
	}
	if why := strays(f, b, out); why != "" {
		return fmt.Errorf("verdict %d, %s:\n% x\n% x", int32(verdict), why, b, out)
	}
	return nil
}

// bases returns a packet of some kind.
func (r *road) bases(f family, rnd *rand.Rand) []byte {
	protocol := []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP}[rnd.IntN(2)]
	p := f.to([]uint16{elsewhere, here, nowhere, twice}[rnd.IntN(4)], protocol)
	p.from = netip.AddrPortFrom(f.client, uint16(40000+rnd.IntN(4)))
	switch rnd.IntN(6) {
	case 0:
		p.flags = ack
	case 1:
		p = f.ping(f.service)
	case 2:
		p.more, p.id = true, 5
	case 3:
		p.offset, p.id = 64, 5
	case 4:
		p = tooBig(f, frame{from: p.dst, dst: p.from, protocol: protocol, ttl: 3, payload: []byte("abc")}, 1000)
	case 5:
		p.payload = make([]byte, 1440+rnd.IntN(40))
	}
	if rnd.IntN(3) == 0 {
		if rnd.IntN(4) == 0 {
			p = frame{from: netip.AddrPortFrom(f.client, 4000), dst: netip.AddrPortFrom(f.node, DefaultProbePort), protocol: unix.IPPROTO_UDP, ttl: 3}
		}
		p = wrapped(f, peers[f.name], f.node, p)
	}
	p.to = [6]byte(r.uplink.Attrs().HardwareAddr)
	return p.bytes()
}

// mutated changes some bytes behind the Ethernet header, or the length.
func mutated(rnd *rand.Rand, b []byte) []byte {
	for range rnd.IntN(4) {
		b[14+rnd.IntN(len(b)-14)] = byte(rnd.Uint32())
	}
	switch rnd.IntN(4) {
	case 0:
		least := min(len(b), 54) // the kernel runs nothing on less than an IP header
		return b[:least+rnd.IntN(len(b)-least+1)]
	case 1:
		return append(b, make([]byte, rnd.IntN(100))...)
	}
	return b
}

// strays says what is wrong with where a packet goes; empty when nothing is.
func strays(f family, in, out []byte) string {
	in, tunnelled := unwrapped(f, in)
	was, is := ends(in), ends(out)
	grown := len(out) - len(in)
	switch {
	case grown > 0 && (tunnelled || is != pair{f.node, peers[f.name]} || grown != f.overhead()):
		return "it grew"
	case tunnelled && was.dst == f.node: // a probe
		return ""
	case is.dst == was.src, is.dst == f.client: // an answer, or an error about one
		return ""
	case was.dst != f.service:
		return "it was for another address"
	case is.dst == f.local:
		return ""
	case tunnelled:
		return "it goes on"
	case grown > 0 || is.dst == f.remote || is.dst == f.second:
		return ""
	}
	return "it goes to nobody's address"
}

// overhead is the length of the header between nodes.
func (f family) overhead() int {
	if f.v4() {
		return 20
	}
	return 40
}

// unwrapped returns the frame in one between nodes, and whether it is such.
func unwrapped(f family, b []byte) ([]byte, bool) {
	if (ends(b) != pair{peers[f.name], f.node}) || len(b) < 14+2*f.overhead() {
		return b, false
	}
	header := f.overhead()
	if f.v4() {
		header = int(b[14]&15) * 4
	}
	if len(b) < 14+header+f.overhead() {
		return b, false
	}
	return append(slices.Clone(b[:14]), b[14+header:]...), true
}

type pair struct{ src, dst netip.Addr }

func ends(b []byte) (p pair) {
	if len(b) >= 34 && binary.BigEndian.Uint16(b[12:]) == 0x800 {
		return pair{netip.AddrFrom4([4]byte(b[26:30])), netip.AddrFrom4([4]byte(b[30:34]))}
	}
	if len(b) >= 54 {
		return pair{netip.AddrFrom16([16]byte(b[22:38])), netip.AddrFrom16([16]byte(b[38:54]))}
	}
	return p
}
