package fault

import (
	"strings"
	"testing"

	"tombolo.io/tombolo/deploy/lab/plan"
)

func lab(t *testing.T) plan.Plan {
	t.Helper()
	p, err := plan.New(plan.Config{Lab: "lab", Dir: "/run/x", Clusters: 3, Nodes: 2, Pods: 1, Router: "builtin"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// fields reads "PLACE [PLACE] DIRECTION TRAFFIC PERCENT".
func fields(s string) Fault {
	w := strings.Fields(s)
	f := Fault{ID: 1, Kind: Cut, From: w[0], Percent: 100}
	if len(w) == 5 {
		f.To = w[1]
	}
	f.Direction, f.Traffic = Direction(w[len(w)-3]), Traffic(w[len(w)-2])
	if w[len(w)-1] != "100" {
		f.Kind, f.Percent = Loss, 30
	}
	return f
}

// rules lists what is lost where, "machine device hook: rule".
func rules(t *testing.T, all ...string) string {
	t.Helper()
	var faults []Fault
	for _, s := range all {
		faults = append(faults, fields(s))
	}
	sets, err := Rulesets(lab(t), faults)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range lab(t).Machines() {
		set := sets[m.Name]
		if set != "" && !strings.HasPrefix(set, NoFaults) {
			t.Errorf("%s is not told to forget what was before:\n%s", m.Name, set)
		}
		where := ""
		for line := range strings.Lines(set) {
			line = strings.TrimSpace(line)
			if _, rest, ok := strings.Cut(line, "type filter hook "); ok {
				w := strings.Fields(rest)
				where = m.Name + " " + strings.Trim(w[2], `"`) + " " + w[0]
				continue
			}
			if strings.HasSuffix(line, "drop") {
				out = append(out, where+": "+line)
			}
		}
	}
	return strings.Join(out, "\n")
}

func TestWhereWhatIsLost(t *testing.T) {
	for _, c := range []struct{ faults, want string }{
		{"east-1 both all 100", "router-east east-1 egress: drop\nrouter-east east-1 ingress: drop"},
		{"east-1 out all 100", "router-east east-1 ingress: drop"},
		{"east-1 in all 100", "router-east east-1 egress: drop"},
		{"east-2-a in all 30", "east-2 east-2-a egress: numgen random mod 100 < 30 drop"},
		{"east-1 both bgp 100",
			"router-east east-1 egress: tcp dport 179 drop\nrouter-east east-1 egress: tcp sport 179 drop\n" +
				"router-east east-1 ingress: tcp dport 179 drop\nrouter-east east-1 ingress: tcp sport 179 drop"},
		{"client out control 100",
			"router-east client ingress: tcp dport 2379 drop\nrouter-east client ingress: tcp sport 2379 drop\n" +
				"router-west client ingress: tcp dport 2379 drop\nrouter-west client ingress: tcp sport 2379 drop\n" +
				"router-north client ingress: tcp dport 2379 drop\nrouter-north client ingress: tcp sport 2379 drop"},
		{"east-2-a east-1 out ipv6 100",
			"east-2 east-2-a ingress: ip6 saddr { fd00:10:1:2::a/128 } ip6 daddr { fd00:20:1::1/128, fd00:10:1:1::/64 } meta protocol ip6 meta l4proto udp drop\n" +
				"east-2 east-2-a ingress: ip6 saddr { fd00:10:1:2::a/128 } ip6 daddr { fd00:20:1::1/128, fd00:10:1:1::/64 } meta protocol ip6 " + others + "drop\n" +
				"east-2 east-2-a ingress: ip6 saddr { fd00:10:1:2::a/128 } ip6 daddr { fd00:20:1::1/128, fd00:10:1:1::/64 } " + icmpv6 + "drop"},
		{"east-2-a in ipv4 30", "east-2 east-2-a egress: meta protocol ip meta l4proto { udp, icmp } numgen random mod 100 < 30 drop\n" +
			"east-2 east-2-a egress: meta protocol ip " + others + "numgen random mod 100 < 30 drop"},
		{"east out all 100", "router-east client egress: drop\nrouter-east to-north egress: drop\nrouter-east to-west egress: drop"},
		{"router-east in all 100", "router-east client ingress: drop\nrouter-east east-1 ingress: drop\nrouter-east east-2 ingress: drop\n" +
			"router-east to-north ingress: drop\nrouter-east to-west ingress: drop"},
		{"east-1 west-2-a out all 100",
			"router-east east-1 ingress: ip saddr { 172.20.1.1/32, 10.1.1.0/24 } ip daddr { 10.2.2.10/32 } drop\n" +
				"router-east east-1 ingress: ip6 saddr { fd00:20:1::1/128, fd00:10:1:1::/64 } ip6 daddr { fd00:10:2:2::a/128 } drop"},
		{"east-1 east-2-a in control 30",
			"router-east east-1 egress: ip saddr { 10.1.2.10/32 } ip daddr { 172.20.1.1/32, 10.1.1.0/24 } tcp dport 2379 numgen random mod 100 < 30 drop\n" +
				"router-east east-1 egress: ip saddr { 10.1.2.10/32 } ip daddr { 172.20.1.1/32, 10.1.1.0/24 } tcp sport 2379 numgen random mod 100 < 30 drop\n" +
				"router-east east-1 egress: ip6 saddr { fd00:10:1:2::a/128 } ip6 daddr { fd00:20:1::1/128, fd00:10:1:1::/64 } tcp dport 2379 numgen random mod 100 < 30 drop\n" +
				"router-east east-1 egress: ip6 saddr { fd00:10:1:2::a/128 } ip6 daddr { fd00:20:1::1/128, fd00:10:1:1::/64 } tcp sport 2379 numgen random mod 100 < 30 drop"},
	} {
		if got := rules(t, c.faults); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.faults, got, c.want)
		}
	}
}

// A partition of two clusters is at every link of the first one's router: packets
// by way of a third cluster are lost too, and nothing else.
func TestPartitionHasNoWayRound(t *testing.T) {
	got := rules(t, "east west out all 100")
	for _, device := range []string{"client", "to-north", "to-west"} {
		if strings.Count(got, "router-east "+device+" egress: ") != 2 { // a family each
			t.Errorf("%s:\n%s", device, got)
		}
	}
	for line := range strings.Lines(got) {
		if !strings.Contains(line, "saddr") || strings.Contains(line, "10.3.0.0") {
			t.Errorf("north is cut off too: %s", line)
		}
	}
}

func TestFaultsAddUp(t *testing.T) {
	got := rules(t, "east-1 out all 30", "east-1 out control 100", "west-1 in all 100")
	want := "router-east east-1 ingress: numgen random mod 100 < 30 drop\nrouter-east east-1 ingress: tcp dport 2379 drop\n" +
		"router-east east-1 ingress: tcp sport 2379 drop\nrouter-west west-1 egress: drop"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if sets, err := Rulesets(lab(t), []Fault{{ID: 1, Kind: Pause, From: "east-1", Role: "agent"}}); err != nil || len(sets) > 0 {
		t.Errorf("a stopped process loses packets: %v %v", sets, err)
	}
}

func TestMistakes(t *testing.T) {
	for faults, want := range map[string]string{
		"east-9 both all 100":           `no machine and no cluster "east-9"`,
		"east south both all 100":       `no machine and no cluster "south"`,
		"east east both all 100":        "the same place",
		"east router-west both all 100": "name it alone, or its cluster",
		"router-east west both all 100": "name it alone, or its cluster",
		"east up all 100":               `direction "up"`,
		"east both some 100":            `traffic "some"`,
	} {
		if err := fields(faults).Validate(lab(t)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", faults, err, want)
		}
	}
	none := fields("east both all 100")
	none.Percent = 0
	if err := none.Validate(lab(t)); err == nil {
		t.Error("a loss of 0 percent is taken")
	}
	if err := (Fault{Kind: Kill, From: "east-9"}).Validate(lab(t)); err == nil {
		t.Error("a machine that is not there is killed")
	}
}

func TestWords(t *testing.T) {
	for want, f := range map[string]Fault{
		"all packets between east-1 and anywhere are lost":                fields("east-1 both all 100"),
		"BGP's packets between east-1 and anywhere are lost":              fields("east-1 both bgp 100"),
		"30 % of etcd's packets to east from west are lost":               fields("east west in control 30"),
		"all packets but etcd's and BGP's from east to anywhere are lost": fields("east out data 100"),
		"east-1 agent is stopped":                                         {Kind: Pause, From: "east-1", Role: "agent"},
		"east-1 agent is killed":                                          {Kind: Kill, From: "east-1", Role: "agent"},
	} {
		if got := f.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
