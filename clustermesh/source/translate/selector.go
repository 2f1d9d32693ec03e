package translate

import (
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tombolo.io/tombolo/clustermesh"
)

// selector translates a label selector; none picks everything.
func (c *checker) selector(path string, s *metav1.LabelSelector) clustermesh.Selector {
	if s == nil {
		return clustermesh.Selector{}
	}
	if _, err := metav1.LabelSelectorAsSelector(s); err != nil {
		c.wrong(path, "%v", err)
		return clustermesh.Selector{}
	}
	out := clustermesh.Selector{MatchLabels: maps.Clone(s.MatchLabels)}
	for _, e := range s.MatchExpressions {
		out.MatchExpressions = append(out.MatchExpressions, clustermesh.Requirement{
			Key: e.Key, Operator: clustermesh.Operator(e.Operator), Values: slices.Clone(e.Values),
		})
	}
	return out
}
