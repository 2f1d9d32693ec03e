package clusterset

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

var echo = clustermesh.ServiceName{Namespace: "demo", Name: "echo"}

// offer reads "east 5 ports=http:80,dns:53/UDP": a cluster, the age of its export in
// seconds since an epoch (0 for none), and what it says besides: headless, local,
// zone, affinity=60, families=4, 6 or 46, label=a, note=b.
func offer(t *testing.T, text string) Offer {
	t.Helper()
	f := strings.Fields(text)
	e := &clustermesh.ServiceExport{Service: clustermesh.Service{Name: echo}}
	if n := number(t, f[1]); n > 0 {
		e.Created = time.Unix(int64(n), 0).UTC()
	}
	for _, word := range f[2:] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "ports":
			e.Service.Ports = ports(t, value)
		case "headless":
			e.Service.Headless = true
		case "local":
			e.Service.InternalPolicy = clustermesh.TrafficLocal
		case "zone":
			e.Service.Distribution = clustermesh.PreferSameZone
		case "affinity":
			e.Service.SessionAffinity = time.Duration(number(t, value)) * time.Second
		case "families":
			e.Families = map[string]clustermesh.Families{"4": clustermesh.IPv4, "6": clustermesh.IPv6, "46": clustermesh.AllFamilies}[value]
		case "label":
			e.Labels = map[string]string{"l": value}
		case "note":
			e.Annotations = map[string]string{"n": value}
		default:
			t.Fatalf("%q says nothing", word)
		}
	}
	return Offer{f[0], e}
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func ports(t *testing.T, text string) (out []clustermesh.ServicePort) {
	t.Helper()
	for one := range strings.SplitSeq(text, ",") {
		p := clustermesh.ServicePort{Protocol: clustermesh.TCP, NodePort: 30000}
		one, p.AppProtocol, _ = strings.Cut(one, "+")
		one, protocol, _ := strings.Cut(one, "/")
		if protocol == "UDP" {
			p.Protocol = clustermesh.UDP
		}
		name, port, _ := strings.Cut(one, ":")
		p.Name, p.Port = name, uint16(number(t, port))
		out = append(out, p)
	}
	return out
}

// text writes a service as the tables want it.
func text(s *Service) string {
	if s == nil {
		return "none"
	}
	kind := "ClusterSetIP"
	if s.Headless {
		kind = "Headless"
	}
	out := []string{kind, portsOf(&clustermesh.ServiceExport{Service: clustermesh.Service{Ports: s.Ports}}), "of " + strings.Join(s.Clusters, "+")}
	if s.SessionAffinity > 0 {
		out = append(out, "affinity "+s.SessionAffinity.String())
	}
	if s.InternalPolicy != clustermesh.TrafficCluster {
		out = append(out, s.InternalPolicy.String())
	}
	if s.Distribution != clustermesh.Anywhere {
		out = append(out, s.Distribution.String())
	}
	if s.Families != 0 {
		out = append(out, s.Families.String())
	}
	for _, m := range []map[string]string{s.Labels, s.Annotations} {
		if len(m) > 0 {
			out = append(out, pairs(m))
		}
	}
	for _, c := range s.Conflicts {
		out = append(out, string(c.Reason)+" "+strings.Join(c.Clusters, "+"))
	}
	return strings.Join(out, "; ")
}

func TestResolve(t *testing.T) {
	for _, c := range []struct {
		name, offers, want string
	}{
		{"nobody offers", "", "none"},
		{"one does", "east 5 ports=http:80,dns:53/UDP affinity=60 local zone families=46 label=a note=b",
			`ClusterSetIP; dns:53/UDP, http:80/TCP; of east; affinity 1m0s; Local; PreferSameZone; IPv4 and IPv6; l="a"; n="b"`},
		{"two agree", "west 7 ports=http:80,dns:53/UDP label=a\neast 5 ports=dns:53/UDP,http:80 label=a",
			`ClusterSetIP; dns:53/UDP, http:80/TCP; of east+west; l="a"`},
		{"ports are joined, which is told", "east 5 ports=http:80\nwest 7 ports=http:80,stcp:142",
			"ClusterSetIP; http:80/TCP, stcp:142/TCP; of east+west; PortConflict west"},
		{"the oldest has a name", "east 7 ports=http:81\nwest 5 ports=http:80",
			"ClusterSetIP; http:80/TCP; of east+west; PortConflict east"},
		{"and a number", "east 7 ports=web:80\nwest 5 ports=http:80", "ClusterSetIP; http:80/TCP; of east+west; PortConflict east"},
		{"of its protocol", "east 7 ports=web:80/UDP\nwest 5 ports=http:80", "ClusterSetIP; http:80/TCP, web:80/UDP; of east+west; PortConflict east"},
		{"one without a name is alone", "east 5 ports=:80\nwest 7 ports=http:81,dns:53/UDP", "ClusterSetIP; 80/TCP; of east+west; PortConflict west"},
		{"and joins nobody", "east 5 ports=http:81\nwest 7 ports=:80", "ClusterSetIP; http:81/TCP; of east+west; PortConflict west"},
		{"protocols of applications differ", "east 5 ports=http:80+h2c\nwest 7 ports=http:80", "ClusterSetIP; http:80/TCP (h2c); of east+west; PortConflict west"},
		{"three, by their age", "c 3 ports=z:9\nb 2 ports=y:9,z:8\na 1 ports=x:7", "ClusterSetIP; x:7/TCP, y:9/TCP, z:8/TCP; of a+b+c; PortConflict b+c"},
		{"of the same second, by name", "west 5 headless\neast 5 ports=http:80", "ClusterSetIP; http:80/TCP; of east+west; TypeConflict west; PortConflict west"},
		{"one without a time is younger", "east 0 label=a\nwest 9 label=b", `ClusterSetIP; ; of east+west; l="b"; LabelsConflict east`},
		{"headless", "east 5 headless ports=http:80 affinity=60 local zone\nwest 6 headless ports=http:80", "Headless; http:80/TCP; of east+west"},
		{"headless is the younger", "east 5 ports=http:80 affinity=60 local\nwest 6 headless ports=http:80 families=4",
			"ClusterSetIP; http:80/TCP; of east+west; affinity 1m0s; Local; TypeConflict west"},
		{"headless is the older", "east 5 headless ports=http:80\nwest 6 ports=http:80 affinity=60", "Headless; http:80/TCP; of east+west; TypeConflict west"},
		{"session affinity", "east 5 affinity=60\nwest 6", "ClusterSetIP; ; of east+west; affinity 1m0s; SessionAffinityConflict west"},
		{"its timeout", "east 5 affinity=60\nwest 6 affinity=90\nnorth 7", "ClusterSetIP; ; of east+north+west; affinity 1m0s; SessionAffinityConflict north; SessionAffinityConfigConflict west"},
		{"policy, distribution, families", "east 5 families=4\nwest 6 local zone families=46", "ClusterSetIP; ; of east+west; IPv4; InternalTrafficPolicyConflict west; TrafficDistributionConflict west; IPFamilyConflict west"},
		{"families that are not known yet", "east 5\nwest 6 families=46\nnorth 7 families=46", "ClusterSetIP; ; of east+north+west; IPv4 and IPv6"},
		{"labels and annotations as a whole", "east 5 label=a\nwest 6 note=b", `ClusterSetIP; ; of east+west; l="a"; LabelsConflict west; AnnotationsConflict west`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var offers []Offer
			for line := range strings.Lines(c.offers) {
				offers = append(offers, offer(t, line))
			}
			if got := text(Resolve(echo, offers)); got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
			slices.Reverse(offers)
			if got := text(Resolve(echo, offers)); got != c.want {
				t.Errorf("in another order:\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

// Nothing of what Resolve returns is shared with what it was given.
func TestResolveKeepsItsInput(t *testing.T) {
	offers := []Offer{offer(t, "west 7 ports=http:80"), offer(t, "east 5 ports=dns:53/UDP label=a note=b")}
	s := Resolve(echo, offers)
	s.Labels["l"], s.Annotations["n"], s.Ports[0].Name = "x", "x", "x"
	if e := offers[1].Export; offers[0].Cluster != "west" || e.Labels["l"] != "a" || e.Annotations["n"] != "b" || e.Service.Ports[0].NodePort != 30000 {
		t.Errorf("the offers are %+v now", offers)
	}
}

func TestConditions(t *testing.T) {
	joined := Resolve(echo, []Offer{offer(t, "east 5 ports=http:80 label=a"), offer(t, "west 7 ports=http:81"), offer(t, "north 8 ports=http:81")})
	web := &clustermesh.Service{Name: echo}
	for _, c := range []struct {
		name string
		st   Standing
		want string
	}{
		{"no service", Standing{}, `
Valid=False NoService: there is no Service of this name in the namespace
Ready=False Pending: there is no Service of this name in the namespace
Conflict=False NoConflicts: the exports of all clusters that are known agree`},
		{"none that can be", Standing{Service: &clustermesh.Service{Type: clustermesh.ExternalName}, Told: true, Joined: joined}, `
Valid=False InvalidServiceType: a Service of type ExternalName has no endpoints that could be exported
Ready=False Pending: a Service of type ExternalName has no endpoints that could be exported
Conflict=False NoConflicts: the exports of all clusters that are known agree`},
		{"not stored yet", Standing{Service: web}, `
Valid=True Valid: the Service can be exported
Ready=Unknown Pending: it is not stored yet
Conflict=False NoConflicts: the exports of all clusters that are known agree`},
		{"not to be stored", Standing{Service: web, Problem: "too long"}, `
Valid=True Valid: the Service can be exported
Ready=False Failed: too long
Conflict=False NoConflicts: the exports of all clusters that are known agree`},
		{"in conflict", Standing{Service: web, Told: true, Joined: joined}, `
Valid=True Valid: the Service can be exported
Ready=True Ready: the other clusters can read it
Conflict=True PortConflict,LabelsConflict: the ServiceExport of cluster east holds, which is the oldest, of 1970-01-01T00:00:05Z; the ports: http:80/TCP of cluster east holds, and cluster west has http:81/TCP (1 more clusters differ); the exported labels: l="a" of cluster east holds, and cluster west has none (1 more clusters differ)`},
		{"of exports without a time", Standing{Service: web, Told: true, Joined: Resolve(echo, []Offer{offer(t, "east 0 label=a"), offer(t, "west 0")})}, `
Valid=True Valid: the Service can be exported
Ready=True Ready: the other clusters can read it
Conflict=True LabelsConflict: the ServiceExport of cluster east holds, whose name comes first: none says when it was made; the exported labels: l="a" of cluster east holds, and cluster west has none`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, x := range Conditions(c.st) {
				got = append(got, fmt.Sprintf("%s=%s %s: %s", x.Type, x.Status, x.Reason, x.Message))
			}
			if text := strings.Join(got, "\n"); text != strings.TrimSpace(c.want) {
				t.Errorf("got\n%s\nwant%s", text, c.want)
			}
		})
	}
}

// A message repeats no more of a value than people read.
func TestMessagesAreShort(t *testing.T) {
	e := offer(t, "east 5 note="+strings.Repeat("ä", 10_000))
	s := Resolve(echo, []Offer{e, offer(t, "west 6")})
	if m := s.Conflicts[0].Message; len(m) > 2*maxShown || !strings.Contains(m, "…") {
		t.Errorf("it has %d bytes: %.300s", len(m), m)
	}
}
