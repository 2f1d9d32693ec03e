package check

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/bpf/bpftest"
)

// plan is the world's addresses, one of each family: here – router – there.
var (
	hereAt      = addresses("172.20.1.1", "fd00:20:1::1")
	hereRouter  = addresses("172.20.1.254", "fd00:20:1::fe")
	hereNode    = prefixes("172.20.1.0/24", "fd00:20:1::/64")
	herePods    = prefixes("10.1.1.0/24", "fd00:10:1:1::/64")
	herePod     = addresses("10.1.1.1", "fd00:10:1:1::1")
	thereAt     = addresses("172.20.2.1", "fd00:20:2::1")
	thereRouter = addresses("172.20.2.254", "fd00:20:2::fe")
	thereNode   = prefixes("172.20.2.0/24", "fd00:20:2::/64")
	therePods   = prefixes("10.2.1.0/24", "fd00:10:2:1::/64")
	therePod    = addresses("10.2.1.1", "fd00:10:2:1::1")
)

func addresses(all ...string) (out []netip.Addr) {
	for _, a := range all {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func prefixes(all ...string) (out []netip.Prefix) {
	for _, p := range all {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// world is two nodes with a router between them; there answers probes.
type world struct {
	*testing.T
	here, router, there *bpftest.Net
	responder           *bpf.Responder
	// boot is what the store says of there.
	boot bpf.BootID
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, here: bpftest.NewNet(t), router: bpftest.NewNet(t), there: bpftest.NewNet(t)}
	w.here.Wire(t, "eth0", w.router, "here")
	w.there.Wire(t, "eth0", w.router, "there")
	for i := range hereAt {
		w.here.Address(t, "eth0", netip.PrefixFrom(hereAt[i], hereNode[i].Bits()))
		w.router.Address(t, "here", netip.PrefixFrom(hereRouter[i], hereNode[i].Bits()))
		w.router.Address(t, "there", netip.PrefixFrom(thereRouter[i], thereNode[i].Bits()))
		w.there.Address(t, "eth0", netip.PrefixFrom(thereAt[i], thereNode[i].Bits()))
		for _, p := range []netip.Prefix{thereNode[i], therePods[i]} {
			w.here.Route(t, p, hereRouter[i])
		}
		for _, p := range []netip.Prefix{hereNode[i], herePods[i]} {
			w.there.Route(t, p, thereRouter[i])
		}
		w.router.Route(t, herePods[i], hereAt[i])
		w.router.Route(t, therePods[i], thereAt[i])
	}
	for _, forward := range []string{"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"} {
		w.must(w.router.Do(func() error { return os.WriteFile("/proc/sys/"+forward, []byte("1"), 0) }))
	}
	for _, n := range []*bpftest.Net{w.here, w.router, w.there} {
		w.settle(n)
	}
	w.respond()
	return w
}

// settle waits until link-local addresses may be used: neighbours are asked for
// from them.
func (w *world) settle(n *bpftest.Net) {
	w.Helper()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; <-look.C {
		tentative := 0
		w.must(n.Do(func() error {
			all, err := netlink.AddrList(nil, netlink.FAMILY_V6)
			for _, a := range all {
				if a.Flags&unix.IFA_F_TENTATIVE != 0 {
					tentative++
				}
			}
			return err
		}))
		if tentative == 0 {
			return
		}
		if time.Now().After(deadline) {
			w.Fatalf("%d addresses are tentative still", tentative)
		}
	}
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// respond makes the kernel there answer probes.
func (w *world) respond() {
	w.Helper()
	var err error
	w.responder, err = bpf.LoadResponder(bpf.ResponderConfig{BPFFS: bpftest.MountBPFFS(w)})
	w.must(err)
	w.Cleanup(func() { w.must(w.responder.Close()) })
	w.must(errors.Join(w.responder.SetAskers(hereAt), w.responder.SetLocal(thereAt, therePods), w.responder.SetClock()))
	w.boot = w.responder.BootID()
	w.must(w.there.Do(func() error {
		_, err := w.responder.Attach([]string{"eth0"})
		return err
	}))
}

// nft gives a namespace rules.
func (w *world) nft(n *bpftest.Net, rules string) {
	w.Helper()
	w.must(n.Do(func() error {
		c := exec.Command("nft", "-f", "-")
		c.Stdin = strings.NewReader(rules + "\n")
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("nft: %w\n%s", err, out)
		}
		return nil
	}))
}

// mtu sets that of the wire between the router and there.
func (w *world) mtu(mtu int) {
	w.Helper()
	for n, device := range map[*bpftest.Net]string{w.router: "there", w.there: "eth0"} {
		w.must(n.Do(func() error {
			l, err := netlink.LinkByName(device)
			if err != nil {
				return err
			}
			return netlink.LinkSetMTU(l, mtu)
		}))
	}
}

// measure measures from here, and returns the paths and what is wrong with them,
// each with its family, sorted.
func (w *world) measure() ([]*Path, []string) {
	w.Helper()
	c := Config{Port: bpf.DefaultProbePort, Addresses: hereAt, Pods: herePod}
	for i := range thereAt {
		c.Peers = append(c.Peers, Peer{Cluster: "west", Node: "w1", Address: thereAt[i], Pods: therePod[i], BootID: w.boot})
	}
	var m *Measurement
	w.must(w.here.Do(func() (err error) { m, err = Prepare(c); return err }))
	begin := time.Now()
	paths, err := m.Run(w.Context())
	w.must(err)
	if took := time.Since(begin); took > 30*time.Second {
		w.Errorf("measuring took %v", took)
	}
	var out []string
	for _, p := range paths {
		for _, f := range Judge(p, c.Port) {
			out = append(out, f.Family+" "+string(f.Level)+" "+f.Code)
			w.Logf("%s %s %s: %s", f.Family, f.Level, f.Code, f.Problem)
		}
	}
	slices.Sort(out)
	return paths, out
}

// open counts the files that this process has open.
func (w *world) open() int {
	w.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	w.must(err)
	return len(all)
}

// Nothing is wrong with a path that is as it should be.
func TestGoodPath(t *testing.T) {
	w := newWorld(t)
	before := w.open()
	paths, wrong := w.measure()
	if after := w.open(); after != before {
		t.Errorf("it leaves %d files open that were %d", after, before)
	}
	if len(paths) != 2 || len(wrong) > 0 {
		t.Fatalf("of %d paths it is wrong: %q", len(paths), wrong)
	}
	for _, p := range paths {
		for way, l := range p.Legs {
			if !l.Answered || l.Saw != l.Sent {
				t.Errorf("%s: way %d is %+v", p.Family(), way, l)
			}
		}
		if p.Size.Passes != 1500 || p.Size.Device != 1500 || !p.Timed || p.Clock.Abs() > time.Second || p.RTT <= 0 {
			t.Errorf("%s: it is %+v", p.Family(), p)
		}
	}
}

// Who is held up for as long as it would wait finds the answer that came meanwhile.
func TestHeldUp(t *testing.T) {
	w := newWorld(t)
	var asks *wire
	w.must(w.here.Do(func() (err error) {
		asks, err = openWire(hereAt[0], netip.Addr{}, bpf.DefaultProbePort)
		return err
	}))
	t.Cleanup(func() { w.must(asks.close()) })
	q := &question{way: AddressToAddress, from: hereAt[0], to: thereAt[0], bootID: w.boot}
	for deadline := time.Now().Add(20 * time.Second); !q.leg.Answered; {
		if time.Now().After(deadline) {
			t.Fatal("it is never answered")
		}
		w.must(asks.ask(t.Context(), []*question{q}, 1, 0))
	}
}

// Each row breaks one thing; both families have the findings.
func TestBrokenPaths(t *testing.T) {
	const table = "table inet broken "
	for _, c := range []struct {
		what string
		do   func(*world)
		want string // findings, of each family
	}{
		{"a firewall on the way drops the port", func(w *world) {
			w.nft(w.router, table+"{ chain forward { type filter hook forward priority 0; udp dport 7947 drop; }; }")
		}, "wrong port-closed"},
		{"a firewall on the way rejects the port", func(w *world) {
			w.nft(w.router, table+"{ chain forward { type filter hook forward priority 0; udp dport 7947 reject with icmpx type admin-prohibited; }; }")
		}, "wrong port-closed"},
		{"this node's firewall drops replies", func(w *world) {
			w.nft(w.here, table+"{ chain input { type filter hook input priority 0; udp sport 7947 drop; }; }")
		}, "wrong closed-here"},
		{"this node's firewall forbids to send", func(w *world) {
			w.nft(w.here, table+"{ chain output { type filter hook output priority 0; udp dport 7947 drop; }; }")
		}, "wrong closed-here"},
		{"everything is dropped", func(w *world) {
			w.nft(w.router, table+"{ chain forward { type filter hook forward priority 0; policy drop; }; }")
		}, "wrong silent"},
		{"the way masquerades", func(w *world) {
			w.nft(w.router, table+"{ chain after { type nat hook postrouting priority 100; oifname there masquerade; }; }")
		}, "wrong masqueraded"},
		{"this node masquerades its pods", func(w *world) {
			w.nft(w.here, table+"{ chain after { type nat hook postrouting priority 100; ip saddr 10.1.1.0/24 masquerade; ip6 saddr fd00:10:1:1::/64 masquerade; }; }")
		}, "wrong masqueraded"},
		{"a narrow wire that says so", func(w *world) { w.mtu(1300) }, "note small-mtu"},
		{"a narrow wire that is silent", func(w *world) {
			w.mtu(1300)
			w.nft(w.router, table+"{ chain output { type filter hook output priority 0; icmp type destination-unreachable drop; icmpv6 type packet-too-big drop; }; }")
		}, "wrong mtu-hole"},
		{"no route to the pods there", func(w *world) {
			for i, p := range therePods {
				w.router.Unroute(w, p, thereAt[i])
			}
		}, "wrong no-route"},
		{"no route here to the pods there", func(w *world) {
			for i, p := range therePods {
				w.here.Unroute(w, p, hereRouter[i])
			}
		}, "wrong no-route"},
		{"no route back to the pods here", func(w *world) {
			for i, p := range herePods {
				w.router.Unroute(w, p, hereAt[i])
			}
		}, "wrong no-way-back"},
		{"no way back to this node", func(w *world) {
			for i, p := range hereNode {
				w.there.Unroute(w, p, thereRouter[i])
			}
			w.nft(w.router, table+"{ chain forward { type filter hook forward priority 0; iifname there ip daddr 172.20.1.1 drop; iifname there ip6 daddr fd00:20:1::1 drop; }; }")
		}, "wrong no-way-back"},
		{"this node is a stranger there", func(w *world) {
			w.must(w.responder.SetAskers(nil))
			w.boot = bpf.BootID{}
		}, "wrong no-responder"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.do(w)
			if _, got := w.measure(); !slices.Equal(got, []string{"IPv4 " + c.want, "IPv6 " + c.want}) {
				t.Errorf("found %q, want %q in both families", got, c.want)
			}
		})
	}
}
