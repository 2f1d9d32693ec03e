package agent

import (
	"cmp"
	"errors"
	"maps"
	"slices"

	"tombolo.io/tombolo/agent/packets"
	"tombolo.io/tombolo/agent/uplink"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/internal/control"
)

// Packets is how this node leads packets from outside to backends.
type Packets struct {
	Uplinks []Uplink `json:"uplinks"`
	// Addresses counts those of services that packets may come to.
	Addresses int `json:"addresses"`
	// Forwarding is how packets go to other nodes, and Tunnels are where these may take
	// them as they came.
	Forwarding Forwarding       `json:"forwarding"`
	Tunnels    []packets.Tunnel `json:"tunnels,omitempty"`
	// Ways counts the next hops that flows remember, of WaysLimit.
	Ways      int    `json:"ways"`
	WaysLimit uint32 `json:"waysLimit"`
	// Counters are since the agent started.
	Counters bpf.PacketCounters `json:"counters"`
}

// leadsPackets says whether packets from outside are led to backends at all.
func (c Config) leadsPackets() bool { return !slices.Equal(c.packetDevices(), []string{uplink.None}) }

// packetDevices returns on which devices packets are led; those of probes by default.
func (c Config) packetDevices() []string {
	if len(c.PacketDevices) > 0 {
		return c.PacketDevices
	}
	return c.Uplinks
}

// loadPackets loads the packet path, or removes what is left of it where packets are
// not to be led; then it is nil.
func (a *Agent) loadPackets(d *bpf.Datapath) (*bpf.Packets, error) {
	direct, err := a.config.Forwarding.direct()
	if err != nil {
		return nil, err
	}
	c := bpf.PacketsConfig{BPFFS: a.config.DataPath.BPFFS, Flows: a.config.Flows, Direct: direct, ProbePort: a.config.ProbePort, XDP: cmp.Or(a.config.XDP, bpf.XDPOff)}
	if !a.config.leadsPackets() {
		return nil, bpf.UninstallPackets(c.BPFFS)
	}
	return bpf.LoadPackets(c, d)
}

// leaveOutdated takes away what an earlier process attached for packets, after its maps
// were replaced and this process could not load its own programs: nobody writes those maps
// any more, and packets would be led to backends of long ago.
func (a *Agent) leaveOutdated() {
	if err := bpf.UninstallPackets(a.config.DataPath.BPFFS); err != nil {
		a.log.Error("packets may be led by maps of an earlier agent", "error", err)
	}
}

// packetsOf returns what is known; the error says why it is not in order.
func (c Config) packetsOf(s *packets.Snapshot, kernel *bpf.Packets) (*Packets, error) {
	p := &Packets{Uplinks: uplinksOf(s.Uplinks), Addresses: s.Addresses, Forwarding: cmp.Or(c.Forwarding, SNAT), Tunnels: s.Tunnels}
	var errWays, errCounters error
	p.Ways, p.WaysLimit, errWays = kernel.Ways()
	p.Counters, errCounters = kernel.Counters()
	return p, errors.Join(s.Problem, errWays, errCounters)
}

func uplinksOf(all []bpf.Uplink) []Uplink {
	out := []Uplink{}
	for _, u := range all {
		shown := Uplink{Device: u.Device, Hook: u.Hook}
		if u.Err != nil {
			shown.Reason = u.Err.Error()
		}
		if shown.XDP = u.XDP; u.XDPErr != nil {
			shown.XDPReason = u.XDPErr.Error()
		}
		out = append(out, shown)
	}
	return out
}

// samples are the metrics of the packet path.
func (p *Packets) samples() []control.Sample {
	if p == nil {
		return nil
	}
	out := []control.Sample{{Name: "tombolo_packet_addresses", Help: "Addresses of services that packets from outside may come to.", Value: float64(p.Addresses)}}
	for _, u := range p.Uplinks {
		out = append(out, control.Sample{
			Name: "tombolo_packet_uplink_attached", Help: "1 for each device on which packets are led to backends.",
			Value: truth(u.Hook != ""), Labels: []string{"device", u.Device},
		}, control.Sample{
			Name: "tombolo_packet_uplink_xdp", Help: "1 for each device on which XDP leads packets of flows that go on.",
			Value: truth(u.XDP != ""), Labels: []string{"device", u.Device},
		})
	}
	out = append(out, mapSamples("ways", p.Ways, p.WaysLimit)...)
	if p.Forwarding != SNAT {
		out = append(out, tunnelSamples(p.Tunnels)...)
	}
	counted := func(name, help, label, value string, n uint64) {
		out = append(out, control.Sample{Name: name, Help: help, Counter: true, Value: float64(n), Labels: []string{label, value}})
	}
	c := p.Counters
	out = append(out, control.Sample{
		Name: "tombolo_packets_xdp_total", Help: "Packets that XDP led, of those that are forwarded, tunnelled or answered.", Counter: true, Value: float64(c.XDP),
	})
	for _, o := range []struct {
		outcome string
		n       uint64
	}{
		{"tunnelled", c.Tunnelled}, {"forwarded", c.Forwarded}, {"delivered", c.Delivered}, {"answered", c.Answered}, {"returned", c.Returned},
		{"pinged", c.Pinged}, {"refused", c.Refused}, {"reset", c.Reset},
	} {
		counted("tombolo_packets_total", "What became of packets to addresses of services, and of the answers.", "outcome", o.outcome, o.n)
	}
	for _, d := range sortedDrops(c.Dropped) {
		counted("tombolo_packet_drops_total", "Packets to addresses of services that were dropped.", "reason", d.reason, d.n)
	}
	for _, e := range []struct {
		event string
		n     uint64
	}{{"begun", c.Begun}, {"moved", c.Moved}, {"error", c.Errors}} {
		counted("tombolo_packet_flows_total", "Flows of packets that began, that moved to another backend, and ICMP errors in them.", "event", e.event, e.n)
	}
	return out
}

func tunnelSamples(all []packets.Tunnel) (out []control.Sample) {
	states := map[string]int{"open": 0, "closed": 0}
	for _, t := range all {
		states[t.State()]++
	}
	for _, state := range slices.Sorted(maps.Keys(states)) {
		out = append(out, control.Sample{
			Name: "tombolo_packet_tunnels", Help: "Addresses of other nodes of the cluster, by whether they take clients' packets in tunnels.",
			Value: float64(states[state]), Labels: []string{"state", state},
		})
	}
	return out
}

// drop is one reason and how many packets it dropped.
type drop struct {
	reason string
	n      uint64
}

func sortedDrops(all map[string]uint64) []drop {
	var out []drop
	for reason, n := range all {
		out = append(out, drop{reason, n})
	}
	slices.SortFunc(out, func(a, b drop) int { return cmp.Compare(a.reason, b.reason) })
	return out
}
