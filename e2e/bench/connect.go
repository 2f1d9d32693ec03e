package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/agent/maglev"
	"tombolo.io/tombolo/bpf"
)

// The peers of the socket hook are rules in the packet path of the same
// namespace. Each way has its own range of virtual addresses, so that all of
// them can stand side by side and be measured in turn.
var (
	backendAddr = netip.MustParseAddrPort("127.1.0.1:18080")
	hookBase    = netip.MustParseAddr("10.80.0.0")
	nftBase     = netip.MustParseAddr("10.81.0.0")
	iptBase     = netip.MustParseAddr("10.82.0.0")
)

// nth returns an address after base, of which the first has number 0.
func nth(base netip.Addr, n int) netip.Addr {
	b := base.AsSlice()
	last := b[len(b)-4:]
	binary.BigEndian.PutUint32(last, binary.BigEndian.Uint32(last)+uint32(n)+1)
	a, _ := netip.AddrFromSlice(b) // of as many bytes as base has
	return a
}

// nftRules renders DNAT by a verdict map, as kube-proxy's nftables mode does it.
func nftRules(services int) string {
	var b strings.Builder
	b.WriteString("table ip bench {\n map vips { type ipv4_addr . inet_service : verdict; elements = {\n")
	for i := range services {
		fmt.Fprintf(&b, "  %s . 80 : goto svc,\n", nth(nftBase, i))
	}
	fmt.Fprintf(&b, " } }\n chain svc { meta l4proto tcp dnat to %s:%d; }\n", backendAddr.Addr(), backendAddr.Port())
	b.WriteString(" chain out { type nat hook output priority -100; meta l4proto tcp ip daddr . tcp dport vmap @vips; }\n}\n")
	return b.String()
}

// iptRules renders one DNAT rule a service in sequence, as kube-proxy's
// iptables mode does it.
func iptRules(services int) string {
	var b strings.Builder
	b.WriteString("*nat\n:BENCH - [0:0]\n")
	// The other ways must not walk through these rules.
	fmt.Fprintf(&b, "-A OUTPUT -d %s/16 -j BENCH\n", iptBase)
	for i := range services {
		fmt.Fprintf(&b, "-A BENCH -d %s/32 -p tcp --dport 80 -j DNAT --to-destination %s\n", nth(iptBase, i), backendAddr)
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// opening is a way's turn: its sockets, made in the way's cgroup, and where they go.
type opening struct {
	to    *unix.SockaddrInet4
	fds   []int
	times []time.Duration
}

// open opens the sockets of one turn. It must run in the way's cgroup.
func open(to netip.AddrPort) (*opening, error) {
	o := &opening{to: &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}}
	for range connectsPerTurn {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("opening a socket: %w", err), o.close())
		}
		o.fds = append(o.fds, fd)
	}
	return o, nil
}

// connect connects the n-th socket and notes how long connect(2) alone took.
func (o *opening) connect(n int) error {
	start := time.Now()
	err := unix.Connect(o.fds[n], o.to)
	o.times = append(o.times, time.Since(start))
	if err != nil {
		return fmt.Errorf("connecting to port %d of %v: %w", o.to.Port, netip.AddrFrom4(o.to.Addr), err)
	}
	return nil
}

// close closes the sockets with a reset, so that no connection lingers.
func (o *opening) close() error {
	var errs []error
	for _, fd := range o.fds {
		errs = append(errs, unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}), unix.Close(fd))
	}
	return errors.Join(errs...)
}

// listen listens on addr. Nobody waits for what comes: to wake somebody on another
// core costs more than all that is compared, and not always the same. accept takes
// and closes what has come. It must run on a thread of the namespace; the socket
// stays in it.
func listen(addr netip.AddrPort) (accept func() error, stop func() error, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("opening a socket: %w", err)
	}
	stop = func() error { return unix.Close(fd) }
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("binding to %s: %w", addr, err), stop())
	}
	if err := unix.Listen(fd, 4*connectsPerTurn); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("listening on %s: %w", addr, err), stop())
	}
	accept = func() error {
		for {
			c, _, err := unix.Accept(fd)
			switch err {
			case nil:
				unix.Close(c)
			case unix.EINTR, unix.ECONNABORTED:
			case unix.EAGAIN:
				return nil
			default:
				return fmt.Errorf("accepting on %s: %w", addr, err)
			}
		}
	}
	return accept, stop, nil
}

// Rounds of the comparison. In each the ways take turns, so that what disturbs
// the machine disturbs all of them, and those between which a microsecond counts
// connect one socket each in turn. A round counts the median of a way's connects, for
// a mean is what the few say that waited for a core.
const (
	rounds          = 10
	turnsPerRound   = 20
	connectsPerTurn = 100
)

// benchConnect compares connect() by four ways to a service: straight to its
// backend, through the socket hook, and by DNAT in nftables and iptables.
func benchConnect(r *Report) error {
	for _, program := range [][2]string{{"nft", "nftables"}, {"iptables-legacy-restore", "iptables"}} {
		if err := need(program[0], program[1]); err != nil {
			return err
		}
	}
	for _, services := range []int{1, 1000, 10000} {
		if err := inNewNetns(func() error { return compareConnects(r, services) }); err != nil {
			return fmt.Errorf("comparing connect() with %d services: %w", services, err)
		}
	}
	return nil
}

func compareConnects(r *Report, services int) (err error) {
	p, err := newPlace(bpf.DefaultSizes())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.leave(), p.remove()) }()
	d, err := p.load()
	if err != nil {
		return err
	}
	defer d.Close()
	if err := balance(d, services); err != nil {
		return err
	}
	stopIdle, err := p.letPass()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.leave(), stopIdle()) }()
	if err := feed(nftRules(services), "nft", "-f", "-"); err != nil {
		return err
	}
	if err := feed(iptRules(services), "iptables-legacy-restore"); err != nil {
		return err
	}
	accept, stop, err := listen(backendAddr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	return interleave(r, p, d, services, accept)
}

// balance makes the socket hook lead every virtual address to the backend.
func balance(d *bpf.Datapath, services int) error {
	table := maglev.Table([]maglev.Backend{{Cluster: 1, Address: backendAddr, Weight: 1}}, maglev.MinSize)
	frontends := make(map[bpf.Frontend]uint32, services)
	for i := range services {
		n := uint32(i + 1)
		d.Backends.Write(n, bpf.Backend{Service: n, Address: backendAddr, Protocol: unix.IPPROTO_TCP, Cluster: 1, State: bpf.Active})
		for slot := range table {
			table[slot] = n
		}
		at := bpf.Extent{Offset: uint32(i * maglev.MinSize), Size: maglev.MinSize}
		d.Slots.Write(at.Offset, table)
		d.Services.Write(n, bpf.Service{Primary: at})
		frontends[bpf.Frontend{Address: netip.AddrPortFrom(nth(hookBase, i), 80), Protocol: unix.IPPROTO_TCP}] = n
	}
	return d.Frontends.Put(frontends)
}

// way is one of those to reach a service; only sockets that are made in the cgroup
// of a way run programs.
type way struct {
	name string
	base netip.Addr // of the virtual addresses; invalid for the backend itself
	in   cgroup
}

type cgroup int

const (
	outside cgroup = iota // of the place
	ours                  // where our programs are
	idle                  // where a program lets every connect() pass
)

// turns are the ways, and who takes turns with whom. The idle way says what the
// kernel's hook costs by itself, whatever a program does there. A walk through 10,000
// rules empties the processor's caches for whoever comes next, so it has a turn of
// its own.
var turns = [][]way{
	{{"direct", netip.Addr{}, outside}, {"idle", netip.Addr{}, idle}, {"hook", hookBase, ours}},
	{{"nftables", nftBase, outside}},
	{{"iptables", iptBase, outside}},
}

// interleave measures every way in each round, and reports medians.
func interleave(r *Report, p *place, d *bpf.Datapath, services int, accept func() error) error {
	times := make(map[string][]time.Duration)
	var above, aboveIdle []time.Duration
	for round := range rounds {
		took := make(map[string][]time.Duration)
		for range turnsPerRound {
			for _, ways := range turns {
				// Every round asks for another service, from the first to the last.
				each, err := measure(p, ways, round*(services-1)/(rounds-1), accept)
				if err != nil {
					return err
				}
				for i, w := range ways {
					took[w.name] = append(took[w.name], each[i]...)
				}
			}
		}
		for name, all := range took {
			times[name] = append(times[name], median(all))
		}
		above = append(above, times["hook"][round]-times["direct"][round])
		aboveIdle = append(aboveIdle, times["hook"][round]-times["idle"][round])
	}
	run, err := runTime(p, d, services, accept)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("connect_%d_services_", services)
	for _, w := range slices.Concat(turns...) {
		r.State(name+w.name, us(median(times[w.name])), "us")
	}
	r.Below(name+"hook_above_direct", us(median(above)), "us", 1)
	r.State(name+"hook_above_idle", us(median(aboveIdle)), "us")
	r.State(name+"hook_program", us(run), "us")
	r.State(name+"hook_to_nftables", us(median(times["hook"]))/us(median(times["nftables"])), "ratio")
	return nil
}

// runTime returns how long the program at connect() runs for a call that it leads to
// the last service, in the mean, by the kernel's own count. To count takes time as
// well, so it is done by itself.
func runTime(p *place, d *bpf.Datapath, services int, accept func() error) (time.Duration, error) {
	counting, err := bpf.CountRunTime()
	if err != nil {
		return 0, err
	}
	defer counting.Close()
	before, err := d.RunTime("connect4")
	if err != nil {
		return 0, err
	}
	for range rounds {
		if _, err := measure(p, []way{{"hook", hookBase, ours}}, services-1, accept); err != nil {
			return 0, err
		}
	}
	after, err := d.RunTime("connect4")
	if err != nil {
		return 0, err
	}
	return (after.Total - before.Total) / time.Duration(after.Count-before.Count), nil
}

// measure connects the sockets of the ways to a service, one of each way in turn, and
// returns how long each of them took. Who is first moves on with each.
func measure(p *place, ways []way, service int, accept func() error) (took [][]time.Duration, err error) {
	var all []*opening
	defer func() {
		for _, o := range all {
			err = errors.Join(err, o.close())
		}
	}()
	for _, w := range ways {
		o, err := w.open(p, service)
		if err != nil {
			return nil, fmt.Errorf("by %s: %w", w.name, err)
		}
		all = append(all, o)
	}
	for n := range connectsPerTurn {
		for i := range all {
			at := (i + n) % len(all)
			if err := all[at].connect(n); err != nil {
				return nil, fmt.Errorf("by %s: %w", ways[at].name, err)
			}
		}
	}
	for _, o := range all {
		took = append(took, o.times)
	}
	return took, accept()
}

// open opens the sockets for a turn of the way.
func (w way) open(p *place, service int) (*opening, error) {
	to := backendAddr
	if w.base.IsValid() {
		to = netip.AddrPortFrom(nth(w.base, service), 80)
	}
	enter := map[cgroup]func() error{outside: p.leave, ours: p.enter, idle: func() error { return moveTo(p.idle()) }}
	if err := enter[w.in](); err != nil {
		return nil, err
	}
	return open(to)
}
