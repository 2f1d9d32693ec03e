package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/bpf"
)

// Packets go from a client by a router to a node, which leads them by the router to a
// backend elsewhere. All of it is on this machine: a packet takes the time of all that it
// passes.
var (
	forwardClient  = netip.MustParsePrefix("10.90.1.2/24")
	forwardNode    = netip.MustParsePrefix("10.90.2.2/24")
	forwardBackend = netip.MustParsePrefix("10.90.3.2/24")
	oursBase       = netip.MustParseAddr("10.91.0.0")
	forwardNft     = netip.MustParseAddr("10.92.0.0")
	forwardIpt     = netip.MustParseAddr("10.93.0.0")
)

const (
	forwardRounds = 5
	forwardFor    = 500 * time.Millisecond
	forwardFlows  = 64
	// forwardWorkers ask for requests at once.
	forwardWorkers = 4
)

// forwardWays are those by which packets go to the backend; base is of the addresses. Each
// has ports of its own there, a service one of them: the ports that ways choose at the node's
// address may be the same, and to each port of the backend there are so many.
var forwardWays = []struct {
	name string
	base netip.Addr
	port uint16
}{{"direct", netip.Addr{}, 8000}, {"tc", oursBase, oursPort}, {"nftables", forwardNft, nftPort}, {"iptables", forwardIpt, iptPort}}

const (
	oursPort = 8100
	nftPort  = 8200
	iptPort  = 8300
	// backendPorts are for one way.
	backendPorts = 16
)

// portOf is the port at the backend of a service.
func portOf(first uint16, service int) uint16 { return first + uint16(service%backendPorts) }

// benchForward compares how many packets and requests a second a node leads, with what
// kube-proxy does by nftables and iptables.
func benchForward(r *Report) error {
	for _, program := range [][2]string{{"nft", "nftables"}, {"iptables-legacy-restore", "iptables"}} {
		if err := need(program[0], program[1]); err != nil {
			return err
		}
	}
	for _, services := range []int{1, 1000, 10_000} {
		if err := forwardWith(r, services); err != nil {
			return fmt.Errorf("forwarding with %d services: %w", services, err)
		}
	}
	return nil
}

// estate is the hosts.
type estate struct{ client, router, node, backend *host }

func newEstate() (e estate, err error) {
	for _, h := range []struct {
		at   **host
		name string
	}{{&e.client, "client"}, {&e.router, "router"}, {&e.node, "node"}, {&e.backend, "backend"}} {
		if *h.at, err = newHost(h.name); err != nil {
			return e, err
		}
	}
	first := func(p netip.Prefix) netip.Prefix { return netip.PrefixFrom(p.Masked().Addr().Next(), p.Bits()) }
	everywhere := netip.MustParsePrefix("0.0.0.0/0")
	for name, h := range map[string]*host{"client": e.client, "node": e.node, "backend": e.backend} {
		at := map[string]netip.Prefix{"client": forwardClient, "node": forwardNode, "backend": forwardBackend}[name]
		err = errors.Join(err, e.router.wire(name, first(at), h, "eth0", at), h.route(everywhere, first(at).Addr()))
	}
	for _, base := range []netip.Addr{oursBase, forwardNft, forwardIpt} {
		err = errors.Join(err, e.router.route(netip.PrefixFrom(base, 16), forwardNode.Addr()))
	}
	return e, errors.Join(err, e.router.forwards(), e.node.forwards())
}

func (e estate) close() (err error) {
	for _, h := range []*host{e.client, e.router, e.node, e.backend} {
		if h != nil {
			err = errors.Join(err, h.close())
		}
	}
	return err
}

func forwardWith(r *Report, services int) (err error) {
	e, err := newEstate()
	defer func() { err = errors.Join(err, e.close()) }()
	if err != nil {
		return err
	}
	stop, err := e.leads(services)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := e.node.do(func() error {
		return errors.Join(feed(forwardNftRules(services), "nft", "-f", "-"), feed(forwardIptRules(services), "iptables-legacy-restore"))
	}); err != nil {
		return err
	}
	end, err := e.serves()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	return e.compare(r, services)
}

// compare measures every way in each round, with another service each time.
func (e estate) compare(r *Report, services int) error {
	packets, requests := map[string][]float64{}, map[string][]float64{}
	for round := range forwardRounds {
		for _, w := range forwardWays {
			to := netip.AddrPortFrom(forwardBackend.Addr(), w.port)
			if w.base.IsValid() {
				to = netip.AddrPortFrom(nth(w.base, round*(services-1)/(forwardRounds-1)), 80)
			}
			n, err := e.floods(to)
			if err != nil {
				return fmt.Errorf("by %s: %w", w.name, err)
			}
			packets[w.name] = append(packets[w.name], n)
			if n, err = e.asks(to); err != nil {
				return fmt.Errorf("by %s: %w", w.name, err)
			}
			requests[w.name] = append(requests[w.name], n)
		}
	}
	for _, what := range []struct {
		name string
		all  map[string][]float64
	}{{"packets", packets}, {"requests", requests}} {
		name := fmt.Sprintf("forward_%d_services_%s_", services, what.name)
		for _, w := range forwardWays {
			r.State(name+w.name, median(what.all[w.name]), "1/s")
		}
		for _, peer := range []string{"nftables", "iptables"} {
			r.Above(name+"tc_to_"+peer, median(what.all["tc"])/median(what.all[peer]), "ratio", 1)
		}
	}
	return nil
}

// leads has the node lead packets by our program.
func (e estate) leads(services int) (stop func() error, err error) {
	at, err := newPlace(bpf.DefaultSizes())
	if err != nil {
		return nil, err
	}
	undo := []func() error{at.remove}
	stop = func() (err error) {
		for i := len(undo) - 1; i >= 0; i-- {
			err = errors.Join(err, undo[i]())
		}
		return err
	}
	err = e.node.do(func() error {
		d, err := bpf.Load(at.config, quiet)
		if err != nil {
			return err
		}
		undo = append(undo, d.Close)
		packets, err := bpf.LoadPackets(bpf.PacketsConfig{BPFFS: at.config.BPFFS}, d)
		if err != nil {
			return err
		}
		undo = append(undo, func() error {
			return e.node.do(func() error { return errors.Join(packets.Close(), bpf.UninstallPackets(at.config.BPFFS)) })
		})
		if err := forwardServices(d, packets, services); err != nil {
			return err
		}
		uplinks, err := packets.Attach([]string{"eth0"})
		return errors.Join(err, uplinks[0].Err)
	})
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

// forwardServices fills the maps: each service has one backend, over TCP and UDP.
func forwardServices(d *bpf.Datapath, packets *bpf.Packets, services int) error {
	owned := map[netip.Addr]bpf.Owned{forwardNode.Addr(): bpf.NodeAddress}
	frontends := map[bpf.Frontend]uint32{}
	for i := range services {
		address := nth(oursBase, i)
		owned[address] = bpf.ServiceAddress
		for p, protocol := range []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
			n := uint32(2*i + p + 1)
			backend := netip.AddrPortFrom(forwardBackend.Addr(), portOf(oursPort, i))
			d.Backends.Write(n, bpf.Backend{Service: n, Address: backend, Protocol: protocol, State: bpf.Active, Node: 2})
			d.Slots.Write(n, []uint32{n})
			d.Services.Write(n, bpf.Service{Primary: bpf.Extent{Offset: n, Size: 1}})
			frontends[bpf.Frontend{Address: netip.AddrPortFrom(address, 80), Protocol: protocol, Scope: bpf.ScopePacket}] = n
		}
	}
	return errors.Join(d.Frontends.Put(frontends), packets.SetOwned(owned), packets.SetSources(forwardNode.Addr(), netip.Addr{}))
}

// forwardNftRules renders a verdict map and masquerade, as kube-proxy's nftables mode does.
func forwardNftRules(services int) string {
	var b strings.Builder
	b.WriteString("table ip bench {\n map vips { type ipv4_addr . inet_proto . inet_service : verdict; elements = {\n")
	for i := range services {
		fmt.Fprintf(&b, "  %s . tcp . 80 : goto svc-%d, %[1]s . udp . 80 : goto svc-%[2]d,\n", nth(forwardNft, i), i%backendPorts)
	}
	b.WriteString(" } }\n")
	for i := range backendPorts {
		fmt.Fprintf(&b, " chain svc-%d { meta mark set mark or 0x4000; numgen random mod 1 vmap { 0 : goto endpoint-%[1]d }; }\n", i)
		fmt.Fprintf(&b, " chain endpoint-%d { meta l4proto { tcp, udp } dnat to %s:%d; }\n", i, forwardBackend.Addr(), portOf(nftPort, i))
	}
	b.WriteString(" chain in { type nat hook prerouting priority -100; ip daddr . meta l4proto . th dport vmap @vips; }\n")
	b.WriteString(" chain out { type nat hook postrouting priority 100; mark and 0x4000 != 0 meta mark set mark xor 0x4000 masquerade fully-random; }\n}\n")
	return b.String()
}

// forwardIptRules renders a rule and a chain a service, as kube-proxy's iptables mode does.
func forwardIptRules(services int) string {
	var b, chains strings.Builder
	b.WriteString("*nat\n:SERVICES - [0:0]\n:MARK-MASQ - [0:0]\n")
	// The other ways must not walk through these rules.
	fmt.Fprintf(&chains, "-A PREROUTING -d %s/16 -j SERVICES\n-A MARK-MASQ -j MARK --or-mark 0x8000\n", forwardIpt)
	chains.WriteString("-A POSTROUTING -m mark --mark 0x8000/0x8000 -j MASQUERADE --random-fully\n")
	for i := range backendPorts {
		fmt.Fprintf(&b, ":ENDPOINT-%d - [0:0]\n", i)
		for _, protocol := range []string{"tcp", "udp"} {
			fmt.Fprintf(&chains, "-A ENDPOINT-%d -p %s -j DNAT --to-destination %s:%d\n", i, protocol, forwardBackend.Addr(), portOf(iptPort, i))
		}
	}
	for i := range services {
		fmt.Fprintf(&b, ":SVC-%d - [0:0]\n", i)
		for _, protocol := range []string{"tcp", "udp"} {
			fmt.Fprintf(&chains, "-A SERVICES -d %s/32 -p %s -m %[2]s --dport 80 -j SVC-%d\n", nth(forwardIpt, i), protocol, i)
		}
		fmt.Fprintf(&chains, "-A SVC-%d -j MARK-MASQ\n-A SVC-%[1]d -j ENDPOINT-%[2]d\n", i, i%backendPorts)
	}
	return b.String() + chains.String() + "COMMIT\n"
}

// serves has the backend answer connections with what it is sent, and take datagrams.
func (e estate) serves() (stop func() error, err error) {
	var open []io.Closer
	stop = func() (err error) {
		for _, c := range open {
			err = errors.Join(err, c.Close())
		}
		return err
	}
	for i := range len(forwardWays) * backendPorts {
		port := portOf(forwardWays[i/backendPorts].port, i)
		if err := e.backend.do(func() error {
			at := netip.AddrPortFrom(forwardBackend.Addr(), port).String()
			tcp, err := net.Listen("tcp4", at)
			if err != nil {
				return err
			}
			open = append(open, tcp)
			go echo(tcp)
			udp, err := net.ListenPacket("udp4", at) // nobody reads: what comes is counted at the device
			if err == nil {
				open = append(open, udp)
			}
			return err
		}); err != nil {
			return nil, errors.Join(err, stop())
		}
	}
	return stop, nil
}

// echo answers connections until nobody listens any more.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			io.Copy(c, c)
			c.Close()
		}()
	}
}

// floods sends datagrams of some flows for a while, and returns how many a second came to
// the backend.
func (e estate) floods(to netip.AddrPort) (perSecond float64, err error) {
	var fds []int
	defer func() {
		for _, fd := range fds {
			err = errors.Join(err, unix.Close(fd))
		}
	}()
	payload := make([]byte, 64)
	err = e.client.do(func() error {
		for range forwardFlows {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return fmt.Errorf("opening a socket: %w", err)
			}
			fds = append(fds, fd)
			if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
				return fmt.Errorf("to %v: %w", to, err)
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	send := func(until time.Time) error {
		for n := 0; n%1024 != 0 || time.Now().Before(until); n++ {
			if _, err := unix.Write(fds[n%len(fds)], payload); err != nil && err != unix.ECONNREFUSED {
				return fmt.Errorf("to %v: %w", to, err)
			}
		}
		return nil
	}
	if err := e.client.do(func() error { return send(time.Now()) }); err != nil { // the flows begin
		return 0, err
	}
	before, err := e.backend.received("eth0")
	if err != nil {
		return 0, err
	}
	start := time.Now()
	err = e.client.do(func() error { return send(start.Add(forwardFor)) })
	took := time.Since(start)
	after, more := e.backend.received("eth0")
	if err = errors.Join(err, more); err == nil && after == before {
		err = fmt.Errorf("no datagram came by %v", to)
	}
	return float64(after-before) / took.Seconds(), err
}

// asks opens connections, sends a byte by each and waits for it to come back, and returns
// how many a second.
func (e estate) asks(to netip.AddrPort) (perSecond float64, err error) {
	var n atomic.Int64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	start := time.Now()
	until := start.Add(forwardFor)
	for range forwardWorkers {
		all.Go(func() {
			if err := e.client.aside(func() error {
				for time.Now().Before(until) {
					if err := ask(to); err != nil {
						return fmt.Errorf("asking %v: %w", to, err)
					}
					n.Add(1)
				}
				return nil
			}); err != nil {
				failed.Store(&err)
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(n.Load()) / time.Since(start).Seconds(), nil
}

// ask opens a connection, and sends a byte that is to come back. It ends with a reset, so
// that no connection lingers.
func ask(to netip.AddrPort) (err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	patience := &unix.Timeval{Sec: 5}
	err = errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, patience),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, patience),
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
	if err != nil {
		return err
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		return err
	}
	b := []byte{1}
	if _, err := unix.Write(fd, b); err != nil {
		return err
	}
	n, err := unix.Read(fd, b)
	if err == nil && n == 0 {
		err = errors.New("the connection ended without an answer")
	}
	return err
}
