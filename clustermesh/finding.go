package clustermesh

import "time"

// CheckRequest asks all agents of a cluster to check their paths to the mesh's
// other nodes. It hangs on a lease, and so do the answers.
type CheckRequest struct {
	// ID is the asker's own, which the answers repeat.
	ID string
}

// CheckAnswer is what the agent of a node found.
type CheckAnswer struct {
	Node string
	// Requests are those that it answers, by their IDs, at most MaxCheckRequests.
	Requests []string
	Version  string
	// Kernel is the release of the node's kernel.
	Kernel string
	// Paths are what was measured, one a cluster and family; at most MaxCheckPaths.
	Paths []CheckPath
	// Findings are what is worth telling, at most MaxFindings; More counts those
	// that did not fit.
	Findings []Finding
	More     int
}

// CheckPath is how the nodes of a cluster are reached from a node, in one family.
type CheckPath struct {
	Cluster string `json:"cluster"`
	// Family is IPv4 or IPv6.
	Family string `json:"family"`
	// Nodes counts the nodes of the cluster that have addresses of the family, Checked
	// those of them that were asked.
	Nodes   int `json:"nodes"`
	Checked int `json:"checked"`
	// Of those that were asked: how many answered at their address, how many at their
	// pods' prefix, how many answered this node's pods, and to how many the source
	// address came as it was sent.
	Address int `json:"address"`
	Pods    int `json:"pods"`
	Back    int `json:"back"`
	Kept    int `json:"kept"`
	// MTU is the least that passes, in bytes of the IP packet; 0 if not known.
	MTU int `json:"mtu,omitempty"`
	// RTT is the longest way there and back; Clock by how much the clock is ahead
	// there that is furthest from ours.
	RTT   time.Duration `json:"rtt,omitempty"`
	Clock time.Duration `json:"clock,omitempty"`
}

// FindingLevel is how much a finding matters.
type FindingLevel string

// The levels. What is wrong breaks a promise; a note is worth knowing.
const (
	FindingWrong FindingLevel = "wrong"
	FindingNote  FindingLevel = "note"
)

// Finding is something that a check found.
type Finding struct {
	Level FindingLevel `json:"level"`
	// Code is a word for machines, such as port-closed.
	Code string `json:"code"`
	// Cluster and Node are at the other end, where there is one.
	Cluster string `json:"cluster,omitempty"`
	Node    string `json:"node,omitempty"`
	// Family is IPv4 or IPv6, or empty.
	Family string `json:"family,omitempty"`
	// Problem and Mend are for people. They name no node, so that the same of several
	// nodes can be told once.
	Problem string `json:"problem"`
	Mend    string `json:"mend"`
}

// Bounds of an answer, little enough for one value of etcd.
const (
	MaxCheckRequests = 100
	MaxCheckPaths    = 1024
	MaxFindings      = 200
)

func (r *CheckRequest) check(c *checker) { c.label("id", r.ID) }

func (a *CheckAnswer) check(c *checker) {
	c.subdomain("node", a.Node)
	c.count("requests", len(a.Requests), MaxCheckRequests)
	for _, id := range a.Requests[:min(len(a.Requests), MaxCheckRequests)] {
		c.label("requests", id)
	}
	c.text("version", a.Version)
	c.text("kernel", a.Kernel)
	c.count("paths", len(a.Paths), MaxCheckPaths)
	for i := range a.Paths[:min(len(a.Paths), MaxCheckPaths)] {
		c.enter("paths", i)
		a.Paths[i].check(c)
		c.leave()
	}
	c.count("findings", len(a.Findings), MaxFindings)
	for i := range a.Findings[:min(len(a.Findings), MaxFindings)] {
		c.enter("findings", i)
		a.Findings[i].check(c)
		c.leave()
	}
	if a.More < 0 {
		c.fail("more", a.More, "must not be negative")
	}
}

func (p *CheckPath) check(c *checker) {
	c.label("cluster", p.Cluster)
	if p.Family != "IPv4" && p.Family != "IPv6" {
		c.fail("family", p.Family, "must be IPv4 or IPv6")
	}
	for _, n := range []struct {
		field string
		value int
	}{{"nodes", p.Nodes}, {"checked", p.Checked}, {"address", p.Address}, {"pods", p.Pods}, {"back", p.Back}, {"kept", p.Kept}, {"mtu", p.MTU}} {
		if n.value < 0 {
			c.fail(n.field, n.value, "must not be negative")
		}
	}
}

func (f *Finding) check(c *checker) {
	if f.Level != FindingWrong && f.Level != FindingNote {
		c.fail("level", string(f.Level), "must be wrong or note")
	}
	c.label("code", f.Code)
	if f.Cluster != "" {
		c.label("cluster", f.Cluster)
	}
	if f.Node != "" {
		c.subdomain("node", f.Node)
	}
	if f.Family != "" && f.Family != "IPv4" && f.Family != "IPv6" {
		c.fail("family", f.Family, "must be IPv4 or IPv6, or empty")
	}
	c.text("problem", f.Problem)
	c.text("mend", f.Mend)
}
