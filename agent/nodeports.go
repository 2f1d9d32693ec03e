package agent

import (
	"fmt"
	"net/netip"
	"slices"

	"tombolo.io/tombolo/agent/uplink"
)

// EveryNodePort is the default of Config.NodePortAddresses.
var EveryNodePort = []string{"0.0.0.0/0", "::/0"}

// nodePorts reads where node ports are served.
func (c Config) nodePorts() ([]netip.Prefix, error) {
	if slices.Equal(c.NodePortAddresses, []string{uplink.None}) {
		return nil, nil
	}
	var out []netip.Prefix
	for _, text := range c.NodePortAddresses {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("--nodeport-addresses: %q: want a CIDR like 10.0.0.0/8, or %s alone", text, uplink.None)
		}
		if p != p.Masked() {
			return nil, fmt.Errorf("--nodeport-addresses: %v has bits beside its mask: want %v, or a longer one", p, p.Masked())
		}
		out = append(out, p)
	}
	return out, nil
}
