package bpf

// PacketCounters is what became of packets to the addresses of services and of their
// answers, and of flows, over all CPUs, since the programs were loaded.
type PacketCounters struct {
	// Tunnelled went to the nodes of backends as they came, Forwarded to backends
	// elsewhere, Delivered to those on this node; Answered and Returned are the answers
	// of the last two.
	Tunnelled, Forwarded, Delivered, Answered, Returned uint64
	// Pinged are echo requests that were answered.
	Pinged uint64
	// Refused are SYNs to a port without a backend, Reset segments of connections that
	// are not known here or have lost their backend: both are answered by a reset.
	Refused, Reset uint64
	// Dropped are the others, by the reason.
	Dropped map[string]uint64
	// XDP of all these were led before the kernel made anything of them.
	XDP uint64
	// Begun are flows, Moved those that lost their backend and began anew, Errors the
	// ICMP errors that were translated.
	Begun, Moved, Errors uint64
}

// dropReasons are the words for the outcomes that drop a packet.
var dropReasons = map[packetPacketOutcome]string{
	packetPacketOutcomePACKET_NO_PORT:      "no port",
	packetPacketOutcomePACKET_NO_BACKEND:   "no backend",
	packetPacketOutcomePACKET_OUT_OF_RANGE: "source range",
	packetPacketOutcomePACKET_NOT_HERE:     "no backend here",
	packetPacketOutcomePACKET_UNKNOWN:      "unknown flow",
	packetPacketOutcomePACKET_MALFORMED:    "malformed",
	packetPacketOutcomePACKET_FRAGMENT:     "lone fragment",
	packetPacketOutcomePACKET_HOPS:         "time to live",
	packetPacketOutcomePACKET_TOO_BIG:      "too big",
	packetPacketOutcomePACKET_NO_ROUTE:     "no route",
	packetPacketOutcomePACKET_NO_SOURCE:    "no source address",
	packetPacketOutcomePACKET_EXHAUSTED:    "no free port",
	packetPacketOutcomePACKET_FULL:         "no memory",
	packetPacketOutcomePACKET_FAILED:       "rewrite failed",
}

// Counters returns what the programs counted.
func (p *Packets) Counters() (PacketCounters, error) {
	c := PacketCounters{Dropped: make(map[string]uint64, len(dropReasons))}
	m := p.maps[packetMapPacketCounters]
	for which, field := range map[uint32]*uint64{
		uint32(packetPacketOutcomePACKET_TUNNELLED): &c.Tunnelled,
		uint32(packetPacketOutcomePACKET_FORWARDED): &c.Forwarded,
		uint32(packetPacketOutcomePACKET_DELIVERED): &c.Delivered,
		uint32(packetPacketOutcomePACKET_ANSWERED):  &c.Answered,
		uint32(packetPacketOutcomePACKET_RETURNED):  &c.Returned,
		uint32(packetPacketOutcomePACKET_PINGED):    &c.Pinged,
		uint32(packetPacketOutcomePACKET_REFUSED):   &c.Refused,
		uint32(packetPacketOutcomePACKET_RESET):     &c.Reset,
		uint32(packetPacketEventEVENT_WIRE):         &c.XDP,
		uint32(packetPacketEventEVENT_BEGUN):        &c.Begun,
		uint32(packetPacketEventEVENT_MOVED):        &c.Moved,
		uint32(packetPacketEventEVENT_ERROR):        &c.Errors,
	} {
		n, err := sumPerCPU(m, which)
		if err != nil {
			return PacketCounters{}, err
		}
		*field = n
	}
	for which, reason := range dropReasons {
		n, err := sumPerCPU(m, uint32(which))
		if err != nil {
			return PacketCounters{}, err
		}
		c.Dropped[reason] = n
	}
	return c, nil
}
