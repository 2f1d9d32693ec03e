package translate

import (
	"slices"
	"strings"

	"tombolo.io/tombolo/api/v1alpha1"
	"tombolo.io/tombolo/clustermesh"
)

// Bounds of a selector, those of the schema.
const (
	maxMatchLabels = 64
	maxExpressions = 32
	maxValues      = 64
)

// selector translates a label selector; none picks everything.
func (c *checker) selector(path string, s *v1alpha1.Selector) clustermesh.Selector {
	var out clustermesh.Selector
	if s == nil {
		return out
	}
	c.atMost(path+".matchLabels", len(s.MatchLabels), maxMatchLabels)
	c.atMost(path+".matchExpressions", len(s.MatchExpressions), maxExpressions)
	for k, v := range s.MatchLabels {
		if out.MatchLabels == nil {
			out.MatchLabels = make(map[string]string, len(s.MatchLabels))
		}
		out.MatchLabels[k] = string(v)
	}
	for i, e := range s.MatchExpressions {
		c.expression(at(path+".matchExpressions", i), e)
		out.MatchExpressions = append(out.MatchExpressions, clustermesh.Requirement{
			Key: e.Key, Operator: clustermesh.Operator(e.Operator), Values: texts(e.Values),
		})
	}
	c.labels(path+".matchLabels", out.MatchLabels)
	return out
}

// expression checks what else an expression must be.
func (c *checker) expression(path string, e v1alpha1.SelectorRequirement) {
	c.labelKey(strings.Split(path+".key", "."), e.Key)
	c.atMost(path+".values", len(e.Values), maxValues)
	for i, v := range e.Values {
		c.labelValue(strings.Split(at(path+".values", i), "."), string(v))
	}
	switch e.Operator {
	case "In", "NotIn":
		if len(e.Values) == 0 {
			c.wrong(path+".values", "is missing; the operator %s compares with values", e.Operator)
		}
	case "Exists", "DoesNotExist":
		if len(e.Values) > 0 {
			c.wrong(path+".values", "must be removed; the operator %s compares with none", e.Operator)
		}
	default:
		c.wrong(path+".operator", "%q is not In, NotIn, Exists or DoesNotExist", e.Operator)
	}
}

// texts returns values of a type of text as text.
func texts[S ~[]T, T ~string](in S) []string {
	if in == nil {
		return nil
	}
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = string(s)
	}
	return slices.Clip(out)
}
