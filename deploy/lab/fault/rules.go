package fault

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"tombolo.io/tombolo/deploy/lab/plan"
)

// Table is the nftables table (family netdev) that a lab's faults live in.
const Table = "tombolo_lab_faults"

// NoFaults is the ruleset of a machine that loses nothing.
const NoFaults = "table netdev " + Table + " {}\ndelete table netdev " + Table + "\n"

// hook is a place in the kernel where packets are looked at.
type hook struct{ machine, device, at string }

// Rulesets returns what each machine must be told that loses packets, for `nft
// -f`: the whole of it, whatever was told before. Faults that lose none are
// passed over.
func Rulesets(p plan.Plan, all []Fault) (map[string]string, error) {
	rules := map[hook][]string{}
	for _, f := range all {
		if f.Kind != Cut && f.Kind != Loss {
			continue
		}
		if err := f.Validate(p); err != nil {
			return nil, fmt.Errorf("fault %d: %w", f.ID, err)
		}
		if err := f.addTo(p, rules); err != nil {
			return nil, err
		}
	}
	out := map[string]string{}
	for _, h := range slices.SortedFunc(maps.Keys(rules), func(a, b hook) int {
		return strings.Compare(a.machine+" "+a.device+" "+a.at, b.machine+" "+b.device+" "+b.at)
	}) {
		if out[h.machine] == "" {
			out[h.machine] = NoFaults
		}
		out[h.machine] += h.chain(rules[h])
	}
	return out, nil
}

// chain is a chain with these rules.
func (h hook) chain(rules []string) string {
	name := strings.ReplaceAll(h.device, "-", "_") + "_" + h.at
	var b strings.Builder
	fmt.Fprintf(&b, "table netdev %s {\n\tchain %s {\n\t\ttype filter hook %s device %q priority 0; policy accept;\n", Table, name, h.at, h.device)
	for _, r := range rules {
		fmt.Fprintf(&b, "\t\t%s\n", r)
	}
	b.WriteString("\t}\n}\n")
	return b.String()
}

// addTo adds the rules of a fault where they belong.
func (f Fault) addTo(p plan.Plan, rules map[hook][]string) error {
	from, err := placeOf(p, f.From)
	if err != nil {
		return err
	}
	to := place{}
	if f.To != "" {
		if to, err = placeOf(p, f.To); err != nil {
			return err
		}
	}
	for _, e := range from.edges {
		if f.Direction != In {
			h := hook{e.machine, e.device, e.hook(true)}
			rules[h] = append(rules[h], f.drops(from.prefixes, to.prefixes)...)
		}
		if f.Direction != Out {
			h := hook{e.machine, e.device, e.hook(false)}
			rules[h] = append(rules[h], f.drops(to.prefixes, from.prefixes)...)
		}
	}
	return nil
}

// drops are the rules that lose the packets of a fault from some addresses to
// others; all packets when the fault has no second place.
func (f Fault) drops(from, to []netip.Prefix) []string {
	verdict := "drop"
	if f.Percent < 100 {
		verdict = fmt.Sprintf("numgen random mod 100 < %d drop", f.Percent)
	}
	if f.To == "" {
		return each("", traffic[f.Traffic], verdict)
	}
	v4 := fmt.Sprintf("ip saddr { %s } ip daddr { %s } ", ofFamily(from, true), ofFamily(to, true))
	v6 := fmt.Sprintf("ip6 saddr { %s } ip6 daddr { %s } ", ofFamily(from, false), ofFamily(to, false))
	var out []string
	kinds := traffic[f.Traffic]
	if f.Traffic != IPv6 {
		out = each(v4, without(kinds, "icmpv6"), verdict)
	}
	if f.Traffic != IPv4 {
		out = append(out, each(v6, without(kinds, "meta l4proto icmp "), verdict)...)
	}
	return out
}

// traffic is what matches each part of the packets; a rule a match.
var traffic = map[Traffic][]string{
	All:     {""},
	Control: {"tcp dport 2379 ", "tcp sport 2379 "},
	BGP:     {"tcp dport 179 ", "tcp sport 179 "},
	Data: {
		"meta l4proto udp ",
		others,
		"meta l4proto icmp ",
		icmpv6,
	},
	IPv4: {"meta protocol ip meta l4proto { udp, icmp } ", "meta protocol ip " + others},
	IPv6: {"meta protocol ip6 meta l4proto udp ", "meta protocol ip6 " + others, icmpv6},
}

// others are TCP but etcd and BGP; icmpv6 is what of ICMPv6 does not discover neighbours.
const (
	others = "tcp dport != { 179, 2379 } tcp sport != { 179, 2379 } "
	icmpv6 = "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem, echo-request, echo-reply } "
)

func each(addresses string, kinds []string, verdict string) []string {
	var out []string
	for _, k := range kinds {
		out = append(out, addresses+k+verdict)
	}
	return out
}

// without leaves out what another family's addresses cannot go with.
func without(kinds []string, prefix string) []string {
	return slices.DeleteFunc(slices.Clone(kinds), func(k string) bool { return strings.HasPrefix(k, prefix) })
}

func ofFamily(all []netip.Prefix, v4 bool) string {
	var out []string
	for _, p := range all {
		if p.Addr().Is4() == v4 {
			out = append(out, p.String())
		}
	}
	return strings.Join(out, ", ")
}
