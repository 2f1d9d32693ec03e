package check

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/clustermesh"
)

var (
	mine   = netip.MustParseAddr("172.20.1.1")
	pod    = netip.MustParseAddr("10.1.1.1")
	theirs = netip.MustParseAddr("172.20.2.1")
	router = netip.MustParseAddr("172.20.2.254")
)

// seen makes a path of a text: a leg "aa" (address to address), "ap", "pa" or "pp"
// and what became of it: yes, no, dropped, port (unreachable), route, prohibited,
// loop, forbidden, unrouted, nat; and ping, heard, size=PASSES/DEVICE[!] (! is told),
// clock=DURATION.
func seen(t *testing.T, text string) *Path {
	t.Helper()
	p := &Path{Peer: Peer{Cluster: "west", Node: "w1", Address: theirs, Pods: netip.MustParseAddr("10.2.1.1")}, RTT: time.Millisecond}
	names := map[string]Way{"aa": AddressToAddress, "ap": AddressToPods, "pa": PodsToAddress, "pp": PodsToPods}
	for word := range strings.FieldsSeq(text) {
		what, value, _ := strings.Cut(word, "=")
		way, isLeg := names[what]
		switch {
		case isLeg:
			p.Legs[way] = leg(t, way, value)
		case what == "ping":
			p.Pinged = true
		case what == "heard":
			p.Heard = true
		case what == "size":
			if strings.HasSuffix(value, "!") {
				p.Size.ToldBy = router
			}
			if _, err := fmt.Sscanf(value, "%d/%d", &p.Size.Passes, &p.Size.Device); err != nil {
				t.Fatal(err)
			}
		case what == "clock":
			var err error
			if p.Clock, err = time.ParseDuration(value); err != nil {
				t.Fatal(err)
			}
			p.Timed = true
		default:
			t.Fatalf("what is %q?", word)
		}
	}
	return p
}

func leg(t *testing.T, way Way, value string) Leg {
	t.Helper()
	l := Leg{Asked: true, Sent: mine}
	if way.fromPods() {
		l.Sent = pod
	}
	refused := map[string]RefusalKind{"route": NoRoute, "prohibited": Prohibited, "loop": Loop}
	unsent := map[string]error{"forbidden": unix.EPERM, "unrouted": unix.ENETUNREACH}
	switch {
	case value == "yes":
		l.Answered, l.Saw = true, l.Sent
	case value == "nat":
		l.Answered, l.Saw = true, router
	case value == "old": // an earlier version, which does not say what it saw
		l.Answered = true
	case value == "port":
		l.Refusal = Refusal{NoPort, theirs}
	case value == "dropped":
		l.Dropped = true
	case refused[value] != NotRefused:
		l.Refusal = Refusal{refused[value], router}
	case unsent[value] != nil:
		l.Unsent = unsent[value]
	case value != "no":
		t.Fatalf("what is %q?", value)
	}
	return l
}

func TestJudge(t *testing.T) {
	const good = "aa=yes ap=yes pa=yes pp=yes "
	for _, c := range []struct{ seen, want string }{
		{good + "size=1500/1500 clock=1ms", ""},
		{"aa=old ap=old pa=old pp=old", ""},
		{"aa=yes", ""}, // no pods' prefixes
		{"", ""},

		// The address.
		{"aa=no ap=no ping", "wrong port-closed: UDP port 7947 is closed: probes are not answered, ping is; they never were, so that its death is not noticed here"},
		{"aa=no ap=no ping heard", "wrong port-closed: UDP port 7947 is closed: probes are not answered, ping is; they were before, so that failover takes it for dead"},
		{"aa=no ap=no", "wrong silent: neither probes nor ping"},
		{"aa=no ap=no pa=yes pp=yes", "wrong no-way-back: this node's pods are answered, and this node is not"},
		{"aa=port ap=port ping", "wrong no-responder: probes arrive, and its kernel does not answer"},
		{"aa=dropped ap=dropped ping", "wrong closed-here: replies of its address come to this node, and its own firewall drops them"},
		{"aa=forbidden ap=forbidden", "wrong closed-here: this node itself forbids sending"},
		{"aa=unrouted ap=unrouted", "wrong no-route: this node has no route to its address (network is unreachable)"},
		{"aa=route ap=route", "wrong no-route: 172.20.2.254 has no way on to its address"},
		{"aa=loop ap=loop", "wrong no-route: packets to its address go in circles, as 172.20.2.254 says"},
		{"aa=prohibited ap=no ping", "wrong port-closed: 172.20.2.254 refuses to let UDP port 7947 pass to its address; probes are not answered, they never were"},
		{"aa=prohibited ap=no ping heard", "wrong port-closed: 172.20.2.254 refuses to let UDP port 7947 pass to its address; probes are not answered, they were before"},

		// The pods' prefixes.
		{"aa=yes ap=no pa=yes pp=no", "wrong pods-silent: its address answers, its pods' prefix does not"},
		{"aa=yes ap=route pa=yes pp=no", "wrong no-route: 172.20.2.254 has no way on to its pods' prefix"},
		{"aa=yes ap=unrouted pa=yes pp=unrouted", "wrong no-route: this node has no route to its pods' prefix"},
		{"aa=yes ap=port pa=yes pp=no", "wrong no-responder: 172.20.2.1 takes what is for the pods' prefix, and does not answer for it"},
		{"aa=yes ap=dropped pa=yes pp=yes", "wrong closed-here: replies of its pods' prefix come to this node"},
		{"aa=yes ap=yes pa=no pp=no", "wrong no-way-back: it answers this node, and not this node's pods"},
		{"aa=yes ap=yes pa=unrouted pp=unrouted", "wrong no-route: this node has no route for what its pods send there"},
		{"aa=yes ap=yes pa=yes pp=no", "wrong pods-apart: "},
		{"aa=yes ap=no pa=no pp=no", "wrong pods-silent: ; wrong no-way-back: it answers this node, and not"},

		// The source.
		{"aa=nat ap=nat pa=yes pp=yes", "wrong masqueraded: this node's address is rewritten to 172.20.2.254"},
		{"aa=yes ap=yes pa=nat pp=nat", "wrong masqueraded: the address of a pod here is rewritten to 172.20.2.254"},
		{"aa=nat ap=nat pa=nat pp=nat", "wrong masqueraded: this node's address is rewritten"},
		{"aa=no ap=no pa=nat ping", "wrong port-closed: ; wrong masqueraded: the address of a pod"},

		// The size.
		{good + "size=1400/1500!", "note small-mtu: packets of more than 1400 bytes do not pass, of 1500 that the device takes; 172.20.2.254 says so"},
		{good + "size=1400/1500", "wrong mtu-hole: packets of more than 1400 bytes vanish"},
		{good + "size=0/1500", ""}, // not tried

		// The clock.
		{good + "clock=3s", "wrong clock: its clock is 3s ahead of this node's"},
		{good + "clock=-1h", "wrong clock: its clock is 1h0m0s behind this node's"},
		{good + "clock=2s", ""},
	} {
		t.Run(c.seen, func(t *testing.T) {
			p := seen(t, c.seen)
			compare(t, Judge(p, 7947), c.want)
			for _, f := range Judge(p, 7947) {
				if f.Cluster != "west" || f.Node != "w1" || f.Family != "IPv4" {
					t.Errorf("it is about %s/%s in %s", f.Cluster, f.Node, f.Family)
				}
			}
		})
	}
}

// compare compares findings with texts that they begin with; it also looks that
// each can be stored.
func compare(t *testing.T, got []clustermesh.Finding, want string) {
	t.Helper()
	var wants []string
	if want != "" {
		wants = strings.Split(want, "; wrong ")
	}
	for i, f := range got {
		line := fmt.Sprintf("%s %s: %s", f.Level, f.Code, f.Problem)
		prefix := ""
		if i < len(wants) {
			prefix = wants[i]
			if i > 0 {
				prefix = "wrong " + prefix
			}
		}
		if prefix == "" || !strings.HasPrefix(line, prefix) {
			t.Errorf("found %q, want %q", line, prefix)
		}
		if f.Mend == "" {
			t.Errorf("%q says nothing of how to mend it", line)
		}
	}
	if len(got) < len(wants) {
		t.Errorf("found %d, want %q", len(got), want)
	}
	if _, err := clustermesh.Encode(&clustermesh.CheckAnswer{Node: "n1", Findings: got}); err != nil {
		t.Error(err)
	}
}

func TestFacts(t *testing.T) {
	good := Facts{Kernel: "6.12.48+deb13-amd64", Failover: "on"}
	change := func(f func(*Facts)) Facts { c := good; f(&c); return c }
	for _, c := range []struct {
		facts Facts
		want  string
	}{
		{good, ""},
		{change(func(f *Facts) { f.Kernel = "7-rc1" }), "note kernel: the kernel release"},
		{change(func(f *Facts) { f.Kernel = "7.0-rc1" }), ""},
		{change(func(f *Facts) { f.Kernel = "6.1.0-37-amd64" }), "note kernel: Linux 6.1.0-37-amd64 has no tcx"},
		{change(func(f *Facts) { f.Kernel = "5.15.0" }), "wrong kernel: Linux 5.15.0 is older"},
		{change(func(f *Facts) { f.BPFFS = errors.New("/x is in no bpffs") }), "wrong mount: /x is in no bpffs"},
		{change(func(f *Facts) { f.Cgroup = errors.New("/x is in no cgroup2") }), "wrong mount: /x is in no cgroup2"},
		{change(func(f *Facts) { f.Failover = "off" }), "wrong failover-off: failover is off"},
		{change(func(f *Facts) { f.Failover = "observe" }), "note failover-off: failover only observes"},
		{change(func(f *Facts) { f.Problem = errors.New("no uplink") }), "wrong probes: other nodes do not notice its death, or it does not theirs: no uplink"},
	} {
		compare(t, c.facts.Judge(), c.want)
	}
}

func TestSurvey(t *testing.T) {
	f := Survey(t.TempDir(), "/nowhere")
	if _, err := release(f.Kernel); err != nil || f.BPFFS == nil || f.Cgroup == nil {
		t.Errorf("it is %+v (%v)", f, err)
	}
}

func TestClusters(t *testing.T) {
	for _, c := range []struct {
		cluster Cluster
		want    string
	}{
		{Cluster{Name: "west", Nodes: 2, Phase: clustermesh.MirrorSynced}, ""},
		{Cluster{Name: "west", Nodes: 2, Phase: clustermesh.MirrorStale, Reason: "no route"}, "wrong mirror: its mirror is Stale: no route"},
		{Cluster{Name: "west"}, "wrong mirror: its mirror is not begun; wrong no-nodes: "},
		{Cluster{Name: "west", Nodes: 2, Phase: clustermesh.MirrorSynced, Deaf: true}, "wrong one-sided: "},
	} {
		compare(t, c.cluster.Judge(), c.want)
	}
}
