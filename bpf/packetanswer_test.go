package bpf

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// answers is what a backend answers to a packet as it was led there: of TCP, what it says
// to a SYN.
func answers(led frame) frame {
	return frame{from: led.dst, dst: led.from, protocol: led.protocol, ttl: 9, flags: syn | ack, seq: 7000, ack: led.seq + 1, payload: []byte("an answer")}
}

// led is what becomes of a packet that is to go to a backend, here or elsewhere.
func (r *road) led(t *testing.T, f frame) frame {
	t.Helper()
	verdict, b := r.enters(t, f)
	if verdict != redirected && verdict != passed {
		t.Fatalf("%v → %v: verdict %d; %+v", f.from, f.dst, int32(verdict), r.counts(t))
	}
	return parseFrame(t, b)
}

// speaksFor says whether a backend's packet comes out as one of the frontend.
func (r *road) speaksFor(t *testing.T, f family, answer frame, frontend netip.AddrPort) bool {
	t.Helper()
	run := r.enters
	if answer.from.Addr() == f.local || answer.from.Addr() == f.node {
		run = r.leaves
	}
	_, b := run(t, answer)
	out := parseFrame(t, b)
	if out.from != answer.from && out.from != frontend {
		t.Errorf("it comes out from %v", out.from)
	}
	return out.from == frontend
}

// Who has a backend's address and port speaks for the frontend only while that is the
// backend, and the flow is not over.
func TestPacketAnswersOfOthers(t *testing.T) {
	const always, tcp, never = 0, 1, 2
	r := newRoad(t, PacketsConfig{})
	for i, row := range []struct {
		name string
		do   func(t *testing.T, backend uint32)
		want int
	}{
		{"the backend", func(*testing.T, uint32) {}, always},
		{"it drains", func(_ *testing.T, n uint32) { r.Backends.SetState(n, Draining) }, always},
		{"it is not ready", func(_ *testing.T, n uint32) { r.Backends.SetState(n, Down) }, always},
		{"its node is down", func(_ *testing.T, n uint32) { r.Nodes.Set(2, PodsDown) }, always},
		{"it has ended", func(_ *testing.T, n uint32) { r.Backends.SetState(n, Ended) }, tcp},
		{"it is gone", func(_ *testing.T, n uint32) { r.Backends.SetState(n, Free) }, never},
		{"another one has its number", func(_ *testing.T, n uint32) {
			b := r.Backends.Read(n)
			r.Backends.Write(n, b)
		}, never},
		{"it is another service's", func(_ *testing.T, n uint32) {
			b := r.Backends.Read(n)
			b.Service += 50
			r.Backends.Write(n, b)
		}, never},
		{"the flow is over", func(t *testing.T, _ uint32) { r.ages(t, 9000*time.Second) }, never},
	} {
		t.Run(row.name, func(t *testing.T) {
			each(t, func(t *testing.T, f family, protocol uint8) {
				for _, port := range []uint16{here, elsewhere} {
					in := f.to(port, protocol)
					in.from = netip.AddrPortFrom(f.client, uint16(50000+i))
					led := r.led(t, in)
					if !r.speaksFor(t, f, answers(led), in.dst) {
						t.Fatalf("port %d: the first answer is not translated", port)
					}
					number := r.backendOf(t, led.dst, protocol)
					old := r.Backends.Read(number)
					row.do(t, number)
					defer func() {
						r.Nodes.Set(2, 0)
						old.State = Active
						r.Backends.Write(number, old)
					}()
					answer := answers(led)
					answer.flags = ack
					want := row.want == always || row.want == tcp && protocol == unix.IPPROTO_TCP
					if got := r.speaksFor(t, f, answer, in.dst); got != want {
						t.Errorf("port %d: translated is %v", port, got)
					}
				}
			})
		})
	}
}

// A client may have a connection with the pod itself, from the port that it has towards
// the service: what the pod sends in that one stays as it is.
func TestPacketDirectConnection(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	for _, f := range families {
		open := func(t *testing.T, port uint16) (in, led frame) {
			in = f.to(here, unix.IPPROTO_TCP)
			in.from = netip.AddrPortFrom(f.client, port)
			return in, r.led(t, in)
		}
		// pod is what the pod sends in the other connection.
		pod := func(led frame, flags uint8) frame {
			p := answers(led)
			p.flags, p.ack = flags, 900_000
			return p
		}
		check := func(t *testing.T, what string, packet, in frame, want bool) {
			t.Helper()
			if got := r.speaksFor(t, f, packet, in.dst); got != want {
				t.Errorf("%s: translated is %v", what, got)
			}
		}
		t.Run(f.name+"/a SYN comes into it", func(t *testing.T) {
			in, led := open(t, 51000)
			check(t, "data", pod(led, ack), in, false)
			check(t, "its end", pod(led, ack|fin), in, false)
			check(t, "its reset", pod(led, ack|rst), in, false)
			check(t, "its reset, of which nothing is acknowledged", pod(led, rst), in, false)
			about := led
			about.seq = 900_000
			for of, want := range map[*frame]netip.Addr{&about: f.gateway, &led: f.service} {
				if _, b := r.leaves(t, tooBig(f, *of, 1000)); parseFrame(t, b).from.Addr() != want {
					t.Errorf("an error about the segment %d is not from %v", of.seq, want)
				}
			}
			check(t, "the answer to the SYN", answers(led), in, true)
			check(t, "what follows that", pod(led, ack), in, true)
		})
		t.Run(f.name+"/a refusal", func(t *testing.T) {
			in, led := open(t, 51001)
			refusal := answers(led)
			refusal.flags, refusal.ack = rst|ack, led.seq+1+uint32(len(in.payload))
			check(t, "the refusal", refusal, in, true)
		})
		t.Run(f.name+"/it begins when the other has ended unseen", func(t *testing.T) {
			in, led := open(t, 51002)
			check(t, "the answer", answers(led), in, true)
			check(t, "the other's", pod(led, syn|ack), in, false)
			check(t, "data of the other", pod(led, ack), in, false)
			in.seq = 5000 // the client comes again
			check(t, "the answer to the next SYN", answers(r.led(t, in)), in, true)
			check(t, "data", pod(led, ack), in, true)
		})
		t.Run(f.name+"/the pod begins it", func(t *testing.T) {
			in, led := open(t, 51003)
			check(t, "the answer", answers(led), in, true)
			check(t, "its own SYN", pod(led, syn), in, false)
			check(t, "data of that", pod(led, ack), in, false)
		})
		t.Run(f.name+"/after the other was closed", func(t *testing.T) {
			in, led := open(t, 51004)
			check(t, "the answer", answers(led), in, true)
			in.flags = ack | fin
			r.led(t, in)
			check(t, "the end", pod(led, ack|fin), in, true)
			check(t, "the beginning of the next", pod(led, syn|ack), in, false)
			check(t, "data of the next", pod(led, ack), in, false)
		})
		t.Run(f.name+"/from elsewhere", func(t *testing.T) {
			in := f.to(elsewhere, unix.IPPROTO_TCP)
			in.from = netip.AddrPortFrom(f.client, 51005)
			led := r.led(t, in)
			check(t, "what it says of a connection before: it lets the client try again", pod(led, ack), in, true)
			check(t, "the answer", answers(led), in, true)
			check(t, "another answer", pod(led, syn|ack), in, false)
			check(t, "data: anybody may have sent that answer", pod(led, ack), in, true)
		})
	}
}

// Where the backend is the node itself, the sockets of the node show which of a client's
// ports are connected to it already.
func TestPacketConnectedToTheNode(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	for i, f := range families {
		for j, protocol := range []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
			at := netip.AddrPortFrom(f.node, pod)
			r.put(t, uint32(110+2*i+j), Frontend{Address: netip.AddrPortFrom(f.service, 97), Protocol: protocol, Scope: ScopePacket}, Backend{Address: at, State: Active, Kind: Host})
		}
		client := netip.AddrPortFrom(f.gateway, 40000) // it is in the router's namespace
		in := func(protocol uint8) frame {
			p := f.to(97, protocol)
			p.from = client
			return p
		}
		var listener net.Listener
		var datagrams net.PacketConn
		if err := r.ns.Do(func() (err error) {
			if listener, err = net.Listen("tcp", netip.AddrPortFrom(f.node, pod).String()); err != nil {
				return err
			}
			datagrams, err = net.ListenPacket("udp", netip.AddrPortFrom(f.node, pod).String())
			return err
		}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { errors.Join(listener.Close(), datagrams.Close()) })
		for _, protocol := range []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
			p := in(protocol)
			p.from = netip.AddrPortFrom(client.Addr(), 40001)
			if led := r.led(t, p); led.from != p.from {
				t.Errorf("%s, protocol %d: listening alone makes it come from %v", f.name, protocol, led.from)
			}
		}
		datagrams.Close()
		conns := map[uint8]net.Conn{}
		if err := r.router.Do(func() (err error) {
			d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(client), Timeout: patience}
			conns[unix.IPPROTO_TCP], err = d.Dial("tcp", listener.Addr().String())
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if err := r.ns.Do(func() (err error) {
			d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(f.node, pod))}
			conns[unix.IPPROTO_UDP], err = d.Dial("udp", client.String())
			return err
		}); err != nil {
			t.Fatal(err)
		}
		for protocol, conn := range conns {
			t.Cleanup(func() { conn.Close() })
			p := in(protocol)
			led := r.led(t, p)
			if led.from.Port() == client.Port() || led.from.Addr() != client.Addr() {
				t.Errorf("%s, protocol %d: into the client's own connection, from %v", f.name, protocol, led.from)
			}
			if !r.speaksFor(t, f, answers(led), p.dst) {
				t.Errorf("%s, protocol %d: its answer is not translated", f.name, protocol)
			}
			direct := answers(led)
			direct.dst = client
			if _, b := r.leaves(t, direct); !bytes.Equal(b, direct.bytes()) {
				t.Errorf("%s, protocol %d: what belongs to the client's own was changed", f.name, protocol)
			}
		}
	}
}
