package check

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/clustermesh"
)

// clockTolerance is how far clocks may be apart.
const clockTolerance = 2 * time.Second

// Judge says what is wrong with a path. Port is that of probes.
func Judge(p *Path, port uint16) []clustermesh.Finding {
	j := judge{path: p, port: port}
	reached := j.address()
	if reached {
		j.pods()
		j.back()
		j.size()
	}
	j.source()
	j.clock()
	return j.findings
}

type judge struct {
	path     *Path
	port     uint16
	findings []clustermesh.Finding
}

func (j *judge) find(level clustermesh.FindingLevel, code, problem, mend string) {
	j.findings = append(j.findings, clustermesh.Finding{
		Level: level, Code: code, Cluster: j.path.Cluster, Node: j.path.Node, Family: j.path.Family(),
		Problem: problem, Mend: mend,
	})
}

func (j *judge) wrong(code, problem, mend string) {
	j.find(clustermesh.FindingWrong, code, problem, mend)
}

// address judges the way between the addresses of both nodes, on which all else
// is built, and says whether there and back it is whole.
func (j *judge) address() bool {
	l := j.path.Legs[AddressToAddress]
	switch {
	case !l.Asked:
		return false
	case l.Answered:
		return true
	case j.stopped(l, "its address"):
	case l.Refusal.Kind == NoPort && l.Refusal.From == j.path.Address:
		j.wrong("no-responder", "probes arrive, and its kernel does not answer them",
			fmt.Sprintf("run tombolo status on it: its agent must have run, attached to this uplink (--uplinks), with --probe-port %d, and its cluster must have this one as a ClusterPeer; or a NAT on the way makes a stranger of this node", j.port))
	case j.path.Pinged:
		j.wrong("port-closed", fmt.Sprintf("UDP port %d is closed: probes are not answered, ping is; %s", j.port, j.consequence()),
			fmt.Sprintf("let UDP to and from port %d pass between the nodes of both clusters, and to their pods' prefixes, in every firewall on the way and on both nodes", j.port))
	case j.path.Legs[PodsToAddress].Answered:
		j.wrong("no-way-back", "this node's pods are answered, and this node is not: there is no way back to its address",
			"route the network of this node's address in that cluster, as that of its pods is")
	default:
		j.wrong("silent", "neither probes nor ping are answered",
			"see whether it runs, whether it is routed from here (ip route get) and this node from there, and whether a firewall drops everything")
	}
	return false
}

// stopped reports what stands in the way of a leg for everybody to see: it was
// not sent, was refused on the way, or the reply was dropped at the end.
func (j *judge) stopped(l Leg, what string) bool {
	switch r := l.Refusal; {
	case errors.Is(l.Unsent, unix.EPERM), errors.Is(l.Unsent, unix.EACCES):
		j.wrong("closed-here", fmt.Sprintf("this node itself forbids sending to UDP port %d", j.port),
			fmt.Sprintf("let UDP to port %d pass in the output rules of this node's firewall, and see that no prohibit route covers it", j.port))
	case l.Unsent != nil:
		j.wrong("no-route", fmt.Sprintf("this node has no route to %s (%v)", what, l.Unsent), advertise)
	case l.Dropped:
		j.wrong("closed-here", fmt.Sprintf("replies of %s come to this node, and its own firewall drops them", what),
			fmt.Sprintf("let UDP from port %d pass in the input rules of this node's firewall", j.port))
	case r.Kind == NoRoute:
		j.wrong("no-route", fmt.Sprintf("%v has no way on to %s", r.From, what), advertise)
	case r.Kind == Loop:
		j.wrong("no-route", fmt.Sprintf("packets to %s go in circles, as %v says", what, r.From), advertise)
	case r.Kind == Prohibited:
		j.wrong("port-closed", fmt.Sprintf("%v refuses to let UDP port %d pass to %s; probes are not answered, %s", r.From, j.port, what, j.consequence()),
			fmt.Sprintf("let UDP to and from port %d pass there", j.port))
	default:
		return false
	}
	return true
}

// consequence says what failover makes of a node that does not answer, though it lives.
func (j *judge) consequence() string {
	if j.path.Heard {
		return "they were before, so that failover takes it for dead and moves connections away from it"
	}
	return "they never were, so that its death is not noticed here"
}

const advertise = "let its speaker advertise its networks to the routers (tombolo bgp routes on it, podCIDRs in a BGPAdvertisement), or add a route"

// pods judges the way to the node's pods, given that the node itself answers.
func (j *judge) pods() {
	switch l := j.path.Legs[AddressToPods]; {
	case !l.Asked, l.Answered, j.stopped(l, "its pods' prefix"):
	case l.Refusal.Kind == NoPort:
		j.wrong("no-responder", fmt.Sprintf("%v takes what is for the pods' prefix, and does not answer for it", l.Refusal.From),
			"see whether spec.podCIDRs of its Node are those that it really has, and who owns that address")
	default:
		j.wrong("pods-silent", "its address answers, its pods' prefix does not: it is not routed from here, or closed on the way", advertise+"; and let UDP to that prefix pass")
	}
}

// back judges what our pods see, given that the node itself answers us.
func (j *judge) back() {
	switch l := j.path.Legs[PodsToAddress]; {
	case !l.Asked:
		return
	case !l.Answered && l.Unsent != nil:
		j.wrong("no-route", fmt.Sprintf("this node has no route for what its pods send there (%v)", l.Unsent), "see the rules and routes for the pods' prefix here (ip rule, ip route)")
		return
	case !l.Answered:
		j.wrong("no-way-back", "it answers this node, and not this node's pods: there is no way back to the pods' prefix of this node, or it is closed",
			"let this node's speaker advertise its pods' prefix (tombolo bgp routes here), see that it reaches the routers of that cluster, and let UDP from it pass")
		return
	}
	l := j.path.Legs[PodsToPods]
	if l.Asked && !l.Answered && j.path.Legs[AddressToPods].Answered {
		j.wrong("pods-apart", "both nodes reach the other's pods, and its pods do not hear the pods here", "look for a firewall between the pods' prefixes of both nodes")
	}
}

// source judges whether addresses come there as they were sent.
func (j *judge) source() {
	said := map[netip.Addr]bool{}
	for way, l := range j.path.Legs {
		if !l.masked() || said[l.Saw] {
			continue
		}
		said[l.Saw] = true
		who, so := "this node's address", "so its kernel takes this node for another or for a stranger, whom it does not answer: its death is not noticed"
		if Way(way).fromPods() {
			who, so = "the address of a pod here", "so nobody there knows which pod asks"
		}
		j.wrong("masqueraded", fmt.Sprintf("%s is rewritten to %v on the way, %s", who, l.Saw, so),
			"take what goes to the mesh's node and pod networks out of masquerading, at whoever owns that address")
	}
}

// size judges how long packets may be.
func (j *judge) size() {
	s := j.path.Size
	switch {
	case s.Passes == 0 || s.Passes >= s.Device:
	case s.ToldBy.IsValid():
		j.find(clustermesh.FindingNote, "small-mtu", fmt.Sprintf("packets of more than %d bytes do not pass, of %d that the device takes; %v says so, and TCP adapts", s.Passes, s.Device, s.ToldBy),
			fmt.Sprintf("nothing must be done; MTU %d at the devices of nodes and pods saves what is lost by that", s.Passes))
	default:
		j.wrong("mtu-hole", fmt.Sprintf("packets of more than %d bytes vanish, of %d that the device takes, and nobody says so: connections hang once much is sent", s.Passes, s.Device),
			fmt.Sprintf("let ICMP pass that says what is too big (IPv4 fragmentation needed, IPv6 packet too big), or set MTU %d at the devices of nodes and pods", s.Passes))
	}
}

// clock judges whether it is the same time there.
func (j *judge) clock() {
	if !j.path.Timed || j.path.Clock.Abs()-j.path.RTT/2 <= clockTolerance {
		return
	}
	where := "ahead of"
	if j.path.Clock < 0 {
		where = "behind"
	}
	j.wrong("clock", fmt.Sprintf("its clock is %v %s this node's", j.path.Clock.Abs().Round(time.Second), where),
		"let NTP set the clocks of both nodes; certificates and the deadlines of drains go by them")
}
