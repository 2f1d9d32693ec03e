package clusterset

import (
	"strings"

	"tombolo.io/tombolo/clustermesh"
)

// The conditions of a ServiceExport, and their reasons while nothing is wrong and
// while something of its own is.
const (
	Valid       = "Valid"
	Ready       = "Ready"
	InConflict  = "Conflict"
	NoService   = "NoService"
	InvalidType = "InvalidServiceType"
	Pending     = "Pending"
	Failed      = "Failed"
	NoConflicts = "NoConflicts"
)

// Standing is what is known of a ServiceExport of one's own cluster.
type Standing struct {
	// Service is that of its name; nil while there is none.
	Service *clustermesh.Service
	// Told: what it offers is stored where other clusters look. Problem is why it
	// cannot be, empty if it can.
	Told    bool
	Problem string
	// Joined is the service that the offers of all clusters make; nil while that is
	// not known.
	Joined *Service
}

// Conditions returns the conditions that a ServiceExport is to have, without times.
func Conditions(st Standing) []clustermesh.Condition {
	return []clustermesh.Condition{st.valid(), st.ready(), st.conflict()}
}

func (st Standing) valid() clustermesh.Condition {
	switch {
	case st.Service == nil:
		return condition(Valid, "False", NoService, "there is no Service of this name in the namespace")
	case !st.Service.Exportable():
		return condition(Valid, "False", InvalidType, "a Service of type ExternalName has no endpoints that could be exported")
	}
	return condition(Valid, "True", Valid, "the Service can be exported")
}

func (st Standing) ready() clustermesh.Condition {
	switch valid := st.valid(); {
	case valid.Status != "True":
		return condition(Ready, "False", Pending, valid.Message)
	case st.Problem != "":
		return condition(Ready, "False", Failed, st.Problem)
	case !st.Told:
		return condition(Ready, "Unknown", Pending, "it is not stored yet")
	}
	return condition(Ready, "True", Ready, "the other clusters can read it")
}

func (st Standing) conflict() clustermesh.Condition {
	if st.valid().Status != "True" || st.Joined == nil || len(st.Joined.Conflicts) == 0 {
		return condition(InConflict, "False", NoConflicts, "the exports of all clusters that are known agree")
	}
	var reasons []string
	messages := []string{st.Joined.why()}
	for _, c := range st.Joined.Conflicts {
		reasons, messages = append(reasons, string(c.Reason)), append(messages, c.Message)
	}
	return condition(InConflict, "True", strings.Join(reasons, ","), strings.Join(messages, "; "))
}

func condition(typ, status, reason, message string) clustermesh.Condition {
	return clustermesh.Condition{Type: typ, Status: status, Reason: reason, Message: message}
}
