package identity

import (
	"fmt"
	"strings"

	"tombolo.io/tombolo/clustermesh"
)

// Filter says which labels of pods and namespaces count.
type Filter struct{ rules []rule }

// rule decides for the keys that it matches. Of several that match, the most
// specific decides; of equally specific ones, the last.
type rule struct {
	text    string
	form    form
	exclude bool
}

type form uint8

const (
	exact  form = iota // this key
	domain             // every key of a domain and of its subdomains
	prefix             // every key that begins so
)

// DefaultRules leave out what differs from pod to pod of one workload, or says
// nothing of what it does.
var DefaultRules = []string{
	"-kubernetes.io/",
	"-k8s.io/",
	"app.kubernetes.io/",
	"namespace:kubernetes.io/metadata.name",
	"-controller-uid",
	"-controller-revision-hash",
	"-job-name",
	"-pod-template-generation",
	"-pod-template-hash",
}

// NewFilter reads rules, which are
//
//	app                 this key counts
//	-app                this key does not
//	example.com/        the keys of this domain and of its subdomains count
//	-team*              the keys that begin with team do not
//	namespace:…         the same, of the labels of the pod's namespace
//
// The most specific rule decides: a key before a domain or a prefix, a longer
// one before a shorter. Of equal ones the last decides, so that rules which
// follow DefaultRules can undo them. A key that no rule matches counts; the
// rules -* and -namespace:* turn that around.
func NewFilter(rules ...string) (Filter, error) {
	var f Filter
	for _, s := range rules {
		r, err := parseRule(s)
		if err != nil {
			return Filter{}, err
		}
		f.rules = append(f.rules, r)
	}
	return f, nil
}

func parseRule(s string) (rule, error) {
	var r rule
	r.text, r.exclude = strings.CutPrefix(s, "-")
	var star bool
	if r.text, star = strings.CutSuffix(r.text, "*"); star {
		r.form = prefix
	} else if strings.HasSuffix(r.text, "/") {
		r.form = domain
	}
	own := strings.TrimPrefix(r.text, clustermesh.NamespaceLabel)
	if strings.ContainsAny(own, "*: \t") || own == "" && !star || own == "/" {
		return rule{}, fmt.Errorf("reading label rule %q: want a key, DOMAIN/ or PREFIX*, after - when it excludes", s)
	}
	if r.form == domain && strings.Count(own, "/") != 1 {
		return rule{}, fmt.Errorf("reading label rule %q: a domain has one slash, at its end", s)
	}
	return r, nil
}

// Counts says whether a label counts; the key of a namespace's label begins
// with clustermesh.NamespaceLabel.
func (f Filter) Counts(key string) bool {
	counts, best := true, -1
	for _, r := range f.rules {
		if n := r.specificity(key); n >= 0 && n >= best {
			counts, best = !r.exclude, n
		}
	}
	return counts
}

// specificity grows with how closely the rule describes the key; it is
// negative when the rule does not match.
func (r rule) specificity(key string) int {
	ruleOwn, ofNamespace := strings.CutPrefix(r.text, clustermesh.NamespaceLabel)
	own, keyOfNamespace := strings.CutPrefix(key, clustermesh.NamespaceLabel)
	if ofNamespace != keyOfNamespace {
		return -1
	}
	switch r.form {
	case prefix:
		if strings.HasPrefix(own, ruleOwn) {
			return len(ruleOwn)
		}
	case domain:
		host, _, ok := strings.Cut(own, "/")
		if d := strings.TrimSuffix(ruleOwn, "/"); ok && (host == d || strings.HasSuffix(host, "."+d)) {
			return len(ruleOwn)
		}
	case exact:
		if own == ruleOwn {
			return len(ruleOwn) + 1
		}
	}
	return -1
}

// The labels that every identity has, besides those of the pod. A pod cannot
// set them.
const (
	ClusterLabel   = "tombolo.io/cluster"
	NamespaceLabel = "tombolo.io/namespace"
	// AccountLabel is missing when the pod names no service account.
	AccountLabel = "tombolo.io/serviceaccount"
)

// Labels returns those by which a pod of a cluster is known, given the labels
// of its namespace.
func (f Filter) Labels(cluster string, p *Pod, namespace map[string]string) map[string]string {
	out := make(map[string]string, len(p.Labels)+3)
	for k, v := range p.Labels {
		if f.Counts(k) {
			out[k] = v
		}
	}
	for k, v := range namespace {
		if k = clustermesh.NamespaceLabel + k; f.Counts(k) {
			out[k] = v
		}
	}
	delete(out, AccountLabel)
	out[ClusterLabel], out[NamespaceLabel] = cluster, p.Namespace
	if p.ServiceAccount != "" {
		out[AccountLabel] = p.ServiceAccount
	}
	return out
}
