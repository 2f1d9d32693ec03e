package agent

import (
	"errors"
	"strings"

	"tombolo.io/tombolo/agent/responder"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/internal/control"
)

// Probes is how this node answers the probes of others.
type Probes struct {
	Uplinks []Uplink `json:"uplinks"`
	// Askers counts the addresses that may ask.
	Askers int `json:"askers"`
	// BootID and Epoch are what replies carry.
	BootID string `json:"bootID"`
	Epoch  uint64 `json:"epoch"`
	// Counters are of datagrams to the port of probes.
	Counters bpf.ProbeCounters `json:"counters"`
}

// Uplink is a device on which probes are answered, or packets led; where Hook is empty
// they are not, and Reason says why.
type Uplink struct {
	Device string `json:"device"`
	Hook   string `json:"hook,omitempty"`
	Reason string `json:"reason,omitempty"`
	// XDP is native or generic where XDP leads packets of flows that go on; else XDPReason
	// says why not, unless that is not wanted.
	XDP       string `json:"xdp,omitempty"`
	XDPReason string `json:"xdpReason,omitempty"`
}

// probesOf returns what is known; the error says why it is not in order.
func probesOf(s *responder.Snapshot, kernel *bpf.Responder) (Probes, error) {
	p := Probes{Uplinks: uplinksOf(s.Uplinks), Askers: s.Askers, BootID: kernel.BootID().String(), Epoch: kernel.Epoch()}
	var err error
	p.Counters, err = kernel.Counters()
	return p, errors.Join(s.Problem, err)
}

// samples are the metrics of answering probes.
func (p Probes) samples() []control.Sample {
	out := []control.Sample{{Name: "tombolo_probe_askers", Help: "Addresses that may probe this node.", Value: float64(p.Askers)}}
	for _, u := range p.Uplinks {
		out = append(out, control.Sample{
			Name: "tombolo_probe_uplink_attached", Help: "1 for each device on which probes are answered.",
			Value: truth(u.Hook != ""), Labels: []string{"device", u.Device},
		})
	}
	c := p.Counters
	for _, n := range []struct {
		outcome string
		value   uint64
	}{
		{"answered", c.Answered}, {"malformed", c.Malformed}, {"odd", c.Odd}, {"stranger", c.Stranger},
		{"elsewhere", c.Elsewhere}, {"limited", c.Limited}, {"failed", c.Failed},
	} {
		out = append(out, control.Sample{
			Name: "tombolo_probe_datagrams_total", Help: "What became of datagrams to the port of probes.",
			Counter: true, Value: float64(n.value), Labels: []string{"outcome", n.outcome},
		})
	}
	return out
}

// oneLine joins what errors.Join put on lines of their own.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
