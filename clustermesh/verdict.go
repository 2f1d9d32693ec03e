package clustermesh

import "time"

// Verdict is what an agent thinks of the data path of a node, or of a whole
// cluster. It is the agent's own and is not stored in etcd.
type Verdict struct {
	// Cluster is the cluster's name in the mesh; Node is empty when it is judged as
	// a whole.
	Cluster string       `json:"cluster"`
	Node    string       `json:"node,omitempty"`
	State   VerdictState `json:"state"`
	// AddressDown and PodsDown say of which kind of backends it is down: those at
	// the node's own addresses, and those in its pods' prefixes, in which families.
	// Of a cluster both are the same.
	AddressDown Families `json:"addressDown,omitempty"`
	PodsDown    Families `json:"podsDown,omitempty"`
	// Override: somebody set it by hand.
	Override bool `json:"override,omitempty"`
	// Reason is for people; Evidence says who saw what, a sentence each.
	Reason   string   `json:"reason,omitempty"`
	Evidence []string `json:"evidence,omitempty"`
	// Since is when it came into this state.
	Since time.Time `json:"since"`
}

// VerdictState is a verdict in a word.
type VerdictState string

// The states. Only VerdictDown moves anybody away.
const (
	VerdictUp VerdictState = "up"
	// VerdictSuspect is between the third silence and the end of the burst, or
	// longer while the one who judges is itself cut off.
	VerdictSuspect VerdictState = "suspect"
	VerdictDown    VerdictState = "down"
	// VerdictDraining is up, and takes no new connections because its owner says so.
	VerdictDraining VerdictState = "draining"
	// VerdictUnmonitored has never answered a probe here, so that its death would
	// not be noticed.
	VerdictUnmonitored VerdictState = "unmonitored"
)

// Condition is a verdict in the shape of a Kubernetes condition.
type Condition struct {
	Type string `json:"type"`
	// Status is True, False or Unknown.
	Status string `json:"status"`
	// Reason is one word for machines, Message a sentence for people.
	Reason             string    `json:"reason"`
	Message            string    `json:"message,omitempty"`
	LastTransitionTime time.Time `json:"lastTransitionTime"`
}

// Condition says whether what was judged serves.
func (v *Verdict) Condition() Condition {
	c := Condition{Type: "Serving", Status: "True", Message: v.Reason, LastTransitionTime: v.Since}
	switch v.State {
	case VerdictUp:
		c.Reason = "ProbesAnswered"
	case VerdictDraining:
		c.Reason = "Draining"
	case VerdictSuspect:
		c.Status, c.Reason = "Unknown", "Suspect"
	case VerdictUnmonitored:
		c.Status, c.Reason = "Unknown", "NeverAnswered"
	case VerdictDown:
		c.Status, c.Reason = "False", "ProbesUnanswered"
	}
	if v.Override {
		c.Reason = "Override"
	}
	return c
}
