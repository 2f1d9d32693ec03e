package bpf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/bpf/bpftest"
)

// city is a road with who lives along it: a client behind the router, a pod on the
// node, and one elsewhere behind the router.
type city struct {
	*road
	client, local, remote *bpftest.Net
}

func newCity(t *testing.T, cfg PacketsConfig) *city {
	t.Helper()
	return newCityOn(t, newRoad(t, cfg))
}

func newCityOn(t *testing.T, r *road) *city {
	t.Helper()
	c := &city{road: r, client: bpftest.NewNet(t), local: bpftest.NewNet(t), remote: bpftest.NewNet(t)}
	c.router.Wire(t, "client", c.client, "eth0")
	c.router.Wire(t, "remote", c.remote, "eth0")
	c.ns.Wire(t, "pod", c.local, "eth0")
	if err := c.router.Do(func() error {
		return errors.Join(os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644),
			os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte("1"), 0o644))
	}); err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		bits := map[bool]int{true: 24, false: 64}[f.node.Is4()]
		whole := netip.PrefixFrom(f.client, 0).Masked()
		for _, end := range []struct {
			router    *bpftest.Net
			device    string
			there     *bpftest.Net
			addresses []netip.Addr
		}{
			{c.router, "client", c.client, []netip.Addr{f.client}},
			{c.router, "remote", c.remote, []netip.Addr{f.remote, f.second}},
			{c.ns, "pod", c.local, []netip.Addr{f.local}},
		} {
			gateway := end.addresses[0].Prev()
			end.router.Address(t, end.device, netip.PrefixFrom(gateway, bits))
			for _, a := range end.addresses {
				end.there.Address(t, "eth0", netip.PrefixFrom(a, bits))
			}
			end.there.Route(t, whole, gateway)
		}
		c.router.Route(t, netip.PrefixFrom(f.service, f.service.BitLen()), f.node)
	}
	var uplinks []Uplink
	if err := c.ns.Do(func() (err error) { uplinks, err = c.Packets.Attach([]string{"eth0"}); return err }); err != nil {
		t.Fatal(err)
	}
	if len(uplinks) != 1 || uplinks[0].Err != nil {
		t.Fatalf("attached: %+v", uplinks)
	}
	t.Cleanup(func() {
		c.Packets.Close() // perhaps once more
		if err := c.ns.Do(func() error { return UninstallPackets(c.BPFFS) }); err != nil {
			t.Error(err)
		}
	})
	return c
}

// echoes answers in a namespace at an address: over TCP and UDP with whom it sees, and
// then with what it is sent.
func echoes(t *testing.T, n *bpftest.Net, at netip.AddrPort) {
	t.Helper()
	var tcp net.Listener
	var udp net.PacketConn
	if err := n.Do(func() (err error) {
		if tcp, err = net.Listen("tcp", at.String()); err == nil {
			udp, err = net.ListenPacket("udp", at.String())
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tcp.Close(); udp.Close() })
	go func() {
		for {
			conn, err := tcp.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				fmt.Fprintf(conn, "%v\n", conn.RemoteAddr())
				io.Copy(conn, conn)
			}()
		}
	}()
	go func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := udp.ReadFrom(b)
			if err != nil {
				return
			}
			udp.WriteTo(append([]byte(from.String()+"\n"), b[:n]...), from)
		}
	}()
}

// dial connects in a namespace.
func dial(t *testing.T, n *bpftest.Net, network string, to netip.AddrPort) (net.Conn, error) {
	t.Helper()
	var conn net.Conn
	err := n.Do(func() (err error) {
		conn, err = (&net.Dialer{Timeout: patience, FallbackDelay: -1}).Dial(network, to.String())
		return err
	})
	if err == nil {
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(patience))
	}
	return conn, err
}

// says sends some bytes through a connection, and returns whom the other end saw.
func says(t *testing.T, conn net.Conn, what []byte) string {
	t.Helper()
	if _, err := conn.Write(what); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1<<17)
	n := 0
	for {
		more, err := conn.Read(b[n:])
		n += more
		who, rest, found := bytes.Cut(b[:n], []byte("\n"))
		if found && bytes.Equal(rest, what) {
			return string(who)
		}
		if err != nil {
			t.Fatalf("reading after %d of %d bytes: %v", n, len(what), err)
		}
	}
}

// Real connections and datagrams, small and in fragments, to a backend here and one
// elsewhere, by either way to attach.
func TestPacketTraffic(t *testing.T) {
	for name, clsact := range map[string]bool{"tcx": false, "clsact": true} {
		t.Run(name, func(t *testing.T) { newCity(t, PacketsConfig{Clsact: clsact}).traffic(t) })
	}
}

// traffic is what TestPacketTraffic wants to see.
func (c *city) traffic(t *testing.T) {
	t.Helper()
	c.isAttached(t, true)
	for _, f := range families {
		echoes(t, c.local, netip.AddrPortFrom(f.local, pod))
		echoes(t, c.remote, netip.AddrPortFrom(f.remote, pod))
		for _, to := range []struct {
			port uint16
			sees netip.Addr
		}{{here, f.client}, {elsewhere, f.node}} {
			for _, network := range []string{"tcp", "udp"} {
				for _, size := range []int{1, 1400, 4000, 60000} {
					conn, err := dial(t, c.client, network, netip.AddrPortFrom(f.service, to.port))
					if err != nil {
						t.Fatalf("%s to %v:%d: %v; %+v", network, f.service, to.port, err, c.counts(t))
					}
					who := says(t, conn, bytes.Repeat([]byte("x"), size))
					if got := netip.MustParseAddrPort(who).Addr(); got != to.sees {
						t.Errorf("the backend of port %d saw %v, want %v", to.port, got, to.sees)
					}
					conn.Close()
				}
			}
		}
		c.pings(t, f)
		if _, err := dial(t, c.client, "tcp", netip.AddrPortFrom(f.service, nowhere)); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("without a backend: %v", err)
		}
	}
	if n := c.counts(t); n.Dropped["rewrite failed"]+n.Dropped["no route"]+n.Dropped["malformed"] > 0 {
		t.Errorf("dropped: %v", n.Dropped)
	}
}

// isAttached looks whether packets are led, as another process would.
func (c *city) isAttached(t *testing.T, want bool) {
	t.Helper()
	if err := c.ns.Do(func() error {
		if got, err := PacketsAttached(c.BPFFS); got != want || err != nil {
			return fmt.Errorf("packets are led: %v, %v; want %v", got, err, want)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// pings sends an echo request from the client, and waits for the reply.
func (c *city) pings(t *testing.T, f family) {
	t.Helper()
	network := map[bool]string{true: "ip4:icmp", false: "ip6:ipv6-icmp"}[f.service.Is4()]
	var conn net.Conn
	if err := c.client.Do(func() (err error) { conn, err = net.Dial(network, f.service.String()); return err }); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	b := make([]byte, 100)
	_, err := conn.Write(f.ping(f.service).transport())
	n := 0
	for err == nil && !bytes.HasSuffix(b[:n], []byte("ping")) {
		n, err = conn.Read(b)
	}
	if err != nil {
		t.Errorf("pinging %v: %v", f.service, err)
	}
}

// A connection lives on while the programs are swapped, and with no process at all; when
// its backend goes it is cut at once.
func TestPacketTakeOver(t *testing.T) {
	c := newCity(t, PacketsConfig{})
	f := families[0]
	echoes(t, c.remote, netip.AddrPortFrom(f.remote, pod))
	conn, err := dial(t, c.client, "tcp", netip.AddrPortFrom(f.service, elsewhere))
	if err != nil {
		t.Fatal(err)
	}
	says(t, conn, []byte("hello"))
	echo := func(when string) {
		t.Helper()
		b := make([]byte, 5)
		conn.SetDeadline(time.Now().Add(patience)) // loading may take long
		if _, err := conn.Write([]byte("again")); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if _, err := io.ReadFull(conn, b); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
	}
	if err := c.Packets.Close(); err != nil {
		t.Fatal(err)
	}
	echo("without a process")
	c.load(t, PacketsConfig{})
	if err := c.ns.Do(func() error { _, err := c.Packets.Attach([]string{"eth0"}); return err }); err != nil {
		t.Fatal(err)
	}
	echo("with another one")
	c.Backends.SetState(c.backendOf(t, netip.AddrPortFrom(f.remote, pod), 6), Ended)
	conn.Write([]byte("x"))
	if _, err := conn.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "reset") {
		t.Errorf("after its backend has ended: %v", err)
	}
	if err := c.ns.Do(func() error { _, err := c.Packets.Attach(nil); return err }); err != nil {
		t.Fatal(err)
	}
	c.isAttached(t, false)
}
