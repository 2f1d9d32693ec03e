package bpf

// ProbeCounters is what became of the datagrams to the port of probes since the
// maps were made, over all CPUs and uplinks.
type ProbeCounters struct {
	Answered uint64
	// Malformed is what is no probe, of another version, or not a request.
	Malformed uint64
	// Odd came in options, fragments, a VLAN or segments, or for another machine.
	Odd uint64
	// Stranger came from an address that may not ask.
	Stranger uint64
	// Elsewhere went to an address that is not the node's, or not as that kind.
	Elsewhere uint64
	// Limited was too much of one asker.
	Limited uint64
	// Failed could not be rewritten. It should be 0.
	Failed uint64
}

// Counters returns what the program counted.
func (r *Responder) Counters() (ProbeCounters, error) {
	var c ProbeCounters
	for which, field := range map[responderProbeOutcome]*uint64{
		responderProbeOutcomePROBE_ANSWERED:  &c.Answered,
		responderProbeOutcomePROBE_MALFORMED: &c.Malformed,
		responderProbeOutcomePROBE_ODD:       &c.Odd,
		responderProbeOutcomePROBE_STRANGER:  &c.Stranger,
		responderProbeOutcomePROBE_ELSEWHERE: &c.Elsewhere,
		responderProbeOutcomePROBE_LIMITED:   &c.Limited,
		responderProbeOutcomePROBE_FAILED:    &c.Failed,
	} {
		n, err := sumPerCPU(r.maps[responderMapProbeCounters], uint32(which))
		if err != nil {
			return ProbeCounters{}, err
		}
		*field = n
	}
	return c, nil
}
