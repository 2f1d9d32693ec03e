package clustermesh

import "slices"

// Selector picks objects by their labels; an empty one picks all. It has the
// meaning of a Kubernetes label selector: every part must hold.
type Selector struct {
	MatchLabels      map[string]string
	MatchExpressions []Requirement
}

// Requirement is one expression of a selector.
type Requirement struct {
	Key      string
	Operator Operator
	// Values are needed by In and NotIn, and refused with Exists and DoesNotExist.
	Values []string
}

// Operator relates a label to the values of a Requirement.
type Operator string

// The operators. As in Kubernetes, NotIn also holds where the label is missing.
const (
	OpIn           Operator = "In"
	OpNotIn        Operator = "NotIn"
	OpExists       Operator = "Exists"
	OpDoesNotExist Operator = "DoesNotExist"
)

// Everything says whether the selector picks every object.
func (s Selector) Everything() bool { return len(s.MatchLabels)+len(s.MatchExpressions) == 0 }

// Matches says whether the selector picks an object with these labels. An
// operator that is not one picks nothing.
func (s Selector) Matches(labels map[string]string) bool {
	for k, want := range s.MatchLabels {
		if got, ok := labels[k]; !ok || got != want {
			return false
		}
	}
	for _, r := range s.MatchExpressions {
		if !r.matches(labels) {
			return false
		}
	}
	return true
}

func (r Requirement) matches(labels map[string]string) bool {
	value, ok := labels[r.Key]
	switch r.Operator {
	case OpIn:
		return ok && slices.Contains(r.Values, value)
	case OpNotIn:
		return !ok || !slices.Contains(r.Values, value)
	case OpExists:
		return ok
	case OpDoesNotExist:
		return !ok
	}
	return false
}
