package global

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// The notation of these tests. Clusters are separated by ";", each is
//
//	NAME WORD... : SLICE | SLICE
//
// and a slice is "[NAME/PROTOCOL/PORT ...] ENDPOINT, ENDPOINT"; without brackets it
// serves every port of its cluster's service on 8080. An endpoint is
// "ADDRESS[@NODE[/ZONE]] [ready|unready|ending|gone]", ready by default; ending is
// terminating and serving, gone terminating and not serving. The cluster that
// looks is east. See parseService for the words. The addresses 10.ID.200.0/24
// are those of a cluster's nodes, not of its pods.
//
// Beside clusters stands what is known of them:
//
//	down: CLUSTER, CLUSTER/NODE, CLUSTER/NODE!   the last of the node's own addresses;
//	      CLUSTER=IPv6 of one family
//	drain: CLUSTER=N, CLUSTER/NODE=N, service@CLUSTER=N   in thousandths
//	withdrawn: CLUSTER/ADDRESS
//	ejected: CLUSTER/ADDRESS   its port 8080 behind port 80
//	at: NODE/ZONE   where the one who looks is
//	nodeports: ADDRESS, ADDRESS   where that node serves node ports
//	every: yes   there is no kube-proxy

var ids = map[string]uint16{"east": 1, "west": 2, "north": 3}

func parseInput(t *testing.T, text string) Input {
	t.Helper()
	in := Input{Name: clustermesh.ServiceName{Namespace: "shop", Name: "cart"}, Self: "east"}
	for c := range strings.SplitSeq(text, ";") {
		head, tail, _ := strings.Cut(c, ": ")
		words := strings.Fields(head)
		if parseKnown(t, &in, strings.TrimSpace(head), tail) {
			continue
		}
		if len(words) == 0 || ids[words[0]] == 0 {
			t.Fatalf("no known cluster in %q", c)
		}
		e := export(words[0], parseService(t, in.Name, words[1:]))
		for i, s := range strings.Split(tail, "|") {
			if strings.TrimSpace(s) != "" {
				e.Slices = append(e.Slices, parseSlice(t, e.Service, fmt.Sprintf("cart-%d", i), s))
			}
		}
		in.Exports = append(in.Exports, e)
	}
	return in
}

// export returns what a cluster says, without endpoints.
func export(cluster string, s *clustermesh.Service) Export {
	id := ids[cluster]
	return Export{
		Cluster: cluster, ClusterID: id, Service: s,
		NodeCIDRs: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(id)}), 16)},
		PodCIDRs:  []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(id)}), 17)},
	}
}

// parseKnown reads what is no cluster; false for one.
func parseKnown(t *testing.T, in *Input, word, list string) bool {
	t.Helper()
	for item := range strings.SplitSeq(list, ",") {
		if word == "every" {
			in.Every = true
			continue
		}
		if word == "nodeports" {
			in.NodeAddresses = append(in.NodeAddresses, netip.MustParseAddr(strings.TrimSpace(item)))
			continue
		}
		what, value, _ := strings.Cut(strings.TrimSpace(item), "=")
		cluster, rest, isPart := strings.Cut(what, "/")
		node := NodeName{cluster, strings.TrimSuffix(rest, "!")}
		switch word {
		case "down":
			of := clustermesh.AllFamilies
			if value != "" {
				if err := of.UnmarshalText([]byte(value)); err != nil {
					t.Fatal(err)
				}
			}
			h := in.Health.Nodes[node]
			switch {
			case !isPart:
				put(&in.Health.Clusters, cluster, of)
			case node.Node != rest:
				h.AddressDown |= of
				put(&in.Health.Nodes, node, h)
			default:
				h.PodsDown |= of
				put(&in.Health.Nodes, node, h)
			}
		case "drain":
			share := Share(number(t, value))
			if of, isService := strings.CutPrefix(what, "service@"); isService {
				put(&in.Drains.Services, of, share)
			} else if isPart {
				put(&in.Drains.Nodes, node, share)
			} else {
				put(&in.Drains.Clusters, cluster, share)
			}
		case "at":
			in.Node, in.Zone = cluster, rest
		case "withdrawn":
			put(&in.Withdrawn, Pod{cluster, netip.MustParseAddr(rest), "uid-" + rest}, "node n says that the pod ended")
		case "ejected":
			put(&in.Ejected, Target{80, cluster, netip.AddrPortFrom(netip.MustParseAddr(rest), 8080)}, "it refuses")
		default:
			return false
		}
	}
	return true
}

func put[K comparable, V any](m *map[K]V, k K, v V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[k] = v
}

func parseService(t *testing.T, name clustermesh.ServiceName, words []string) *clustermesh.Service {
	t.Helper()
	s := &clustermesh.Service{Name: name, Global: true, Shared: true, Weight: 100,
		ClusterIPs: []netip.Addr{netip.MustParseAddr("172.20.0.1")},
		Ports:      []clustermesh.ServicePort{{Name: "http", Protocol: clustermesh.TCP, Port: 80}}}
	for _, w := range words {
		word, value, _ := strings.Cut(w, "=")
		switch word {
		case "undefined":
			return nil
		case "plain":
			s.Global = false
		case "proxied":
			s.Labels = map[string]string{"service.kubernetes.io/service-proxy-name": "another"}
		case "unshared":
			s.Shared = false
		case "lb":
			s.Type = clustermesh.LoadBalancer
			s.LoadBalancerIPs = append(s.LoadBalancerIPs, netip.MustParseAddr("192.0.2.1"))
		case "external":
			s.Type = clustermesh.ExternalName
		case "dual":
			s.ClusterIPs = append(s.ClusterIPs, netip.MustParseAddr("fd20::1"))
		case "headless":
			s.Headless, s.ClusterIPs = true, nil
		case "local":
			s.Affinity = clustermesh.AffinityLocal
		case "remote":
			s.Affinity = clustermesh.AffinityRemote
		case "from":
			s.SourceRanges = append(s.SourceRanges, netip.MustParsePrefix(value))
		case "etp":
			s.ExternalPolicy = clustermesh.TrafficLocal
		case "itp":
			s.InternalPolicy = clustermesh.TrafficLocal
		case "near":
			s.Distribution = map[string]clustermesh.Distribution{"zone": clustermesh.PreferSameZone, "node": clustermesh.PreferSameNode}[value]
		case "factor":
			s.Overprovisioning = uint16(number(t, value))
		case "publish":
			s.PublishNotReady = true
		case "prio":
			s.Priority = uint8(number(t, value))
		case "weight":
			s.Weight = uint16(number(t, value))
		case "created":
			s.Created = time.Unix(int64(number(t, value)), 0)
		case "ports":
			s.Ports = nil
			for p := range strings.SplitSeq(value, ",") {
				e := parsePort(t, p)
				s.Ports = append(s.Ports, clustermesh.ServicePort{Name: e.Name, Protocol: e.Protocol, Port: e.Port})
			}
		case "nodeport": // of the first port, and those after it
			for i := range s.Ports {
				s.Ports[i].NodePort = uint16(number(t, value)) + uint16(i)
			}
		default:
			t.Fatalf("no such word: %q", w)
		}
	}
	return s
}

func number(t *testing.T, s string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		t.Fatalf("reading number: %v", err)
	}
	return n
}

func parsePort(t *testing.T, s string) clustermesh.EndpointPort {
	t.Helper()
	f := strings.Split(s, "/")
	p := map[string]clustermesh.Protocol{"TCP": clustermesh.TCP, "UDP": clustermesh.UDP, "SCTP": clustermesh.SCTP}
	if len(f) != 3 || p[f[1]] == 0 {
		t.Fatalf("no port: %q", s)
	}
	return clustermesh.EndpointPort{Name: f[0], Protocol: p[f[1]], Port: uint16(number(t, f[2]))}
}

func parseSlice(t *testing.T, svc *clustermesh.Service, name, text string) *clustermesh.EndpointSlice {
	t.Helper()
	s := &clustermesh.EndpointSlice{Name: name}
	text = strings.TrimSpace(text)
	if rest, ok := strings.CutPrefix(text, "["); ok {
		var ports string
		ports, text, _ = strings.Cut(rest, "]")
		for p := range strings.FieldsSeq(ports) {
			s.Ports = append(s.Ports, parsePort(t, p))
		}
	} else if svc != nil {
		for _, p := range svc.Ports {
			s.Ports = append(s.Ports, clustermesh.EndpointPort{Name: p.Name, Protocol: p.Protocol, Port: 8080})
		}
	}
	for e := range strings.SplitSeq(text, ",") {
		s.Endpoints = append(s.Endpoints, parseEndpoint(t, strings.Fields(e)))
	}
	return s
}

func parseEndpoint(t *testing.T, words []string) clustermesh.Endpoint {
	t.Helper()
	address, where, _ := strings.Cut(words[0], "@")
	node, zone, _ := strings.Cut(where, "/")
	e := clustermesh.Endpoint{Address: netip.MustParseAddr(address), Node: node, Zone: zone, PodUID: "uid-" + address}
	state := "ready"
	if len(words) > 1 {
		state = words[1]
	}
	switch state {
	case "ready":
		e.Ready, e.Serving = true, true
	case "unready":
	case "ending":
		e.Serving, e.Terminating = true, true
	case "gone":
		e.Terminating = true
	default:
		t.Fatalf("no such state: %q", state)
	}
	return e
}

// text writes what a merge found, one line a port, part and conflict.
func text(s Service) string {
	var b strings.Builder
	if s.Reason != "" {
		fmt.Fprintf(&b, "none: %s\n", s.Reason)
	}
	for _, p := range s.Ports {
		b.WriteString(portText(p))
	}
	for _, p := range s.Parts {
		fmt.Fprintf(&b, "%s %d/%d/%d", p.Cluster, p.Ready, p.Ending, p.NotReady)
		if p.Reason != "" {
			fmt.Fprintf(&b, " (%s)", p.Reason)
		}
		b.WriteString("\n")
	}
	for _, c := range s.Conflicts {
		fmt.Fprintf(&b, "%s of %s is %s's\n", c.Address, c.Cluster, c.Holder)
	}
	return b.String()
}

func portText(p Port) string {
	var b strings.Builder
	for _, f := range p.Frontends {
		fmt.Fprintf(&b, "%s:", netip.AddrPortFrom(f.Address, f.Port))
		if f.Scope == External {
			b.WriteString("external:")
		}
	}
	fmt.Fprintf(&b, " %s", tierText(p.Primary))
	if len(p.Backup) > 0 {
		fmt.Fprintf(&b, " | %s", tierText(p.Backup))
	}
	if len(p.LocalNodes) > 0 {
		fmt.Fprintf(&b, " @%s", strings.Join(p.LocalNodes, ","))
	}
	if p.Guarded {
		fmt.Fprintf(&b, " from %v", p.Ranges)
	}
	return b.String() + "\n"
}

func tierText(tier []Backend) string {
	var out []string
	for _, b := range tier {
		s := fmt.Sprintf("%s/%s", b.Cluster, netip.AddrPortFrom(b.Address, b.Port))
		if b.Weight != 100 {
			s += fmt.Sprintf("*%d", b.Weight)
		}
		if b.Terminating {
			s += "!"
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return "-"
	}
	return strings.Join(out, " ")
}

// lines cuts the indentation off a wanted text.
func lines(s string) string {
	var out []string
	for l := range strings.SplitSeq(s, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l+"\n")
		}
	}
	return strings.Join(out, "")
}

// portLines returns the text of the ports alone, sorted.
func portLines(s Service) []string {
	var out []string
	for _, p := range s.Ports {
		out = append(out, portText(p))
	}
	slices.Sort(out)
	return out
}
