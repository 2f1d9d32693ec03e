package identity

import (
	"maps"
	"testing"
)

func filter(t *testing.T, rules ...string) Filter {
	t.Helper()
	f, err := NewFilter(rules...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestDefaultFilter(t *testing.T) {
	f := filter(t, DefaultRules...)
	for key, want := range map[string]bool{
		"app":                                       true,
		"team.example.com/tier":                     true,
		"app.kubernetes.io/name":                    true,
		"tombolo.io/x":                              true,
		"pod-template-hash":                         false,
		"controller-revision-hash":                  false,
		"pod-template-generation":                   false,
		"controller-uid":                            false,
		"batch.kubernetes.io/controller-uid":        false,
		"batch.kubernetes.io/job-name":              false,
		"statefulset.kubernetes.io/pod-name":        false,
		"apps.kubernetes.io/pod-index":              false,
		"topology.kubernetes.io/zone":               false,
		"kubernetes.io/os":                          false,
		"something.k8s.io/x":                        false,
		"notkubernetes.io/x":                        true,
		"pod-template-hash-of-mine":                 true,
		"namespace:team":                            true,
		"namespace:kubernetes.io/metadata.name":     true,
		"namespace:pod-security.kubernetes.io/warn": true,
	} {
		if got := f.Counts(key); got != want {
			t.Errorf("%s: got %v", key, got)
		}
	}
}

func TestFilterRules(t *testing.T) {
	for _, c := range []struct {
		name  string
		rules []string
		yes   []string
		no    []string
	}{
		{"nothing excluded", nil, []string{"a", "x/y", "namespace:a"}, nil},
		{"only what is named", []string{"-*", "-namespace:*", "app"}, []string{"app"}, []string{"a", "apps", "x/app", "namespace:app"}},
		{"namespaces apart", []string{"-namespace:*", "namespace:team"}, []string{"a", "namespace:team"}, []string{"namespace:a"}},
		{"longer prefix wins", []string{"-a*", "ab*", "-abc*"}, []string{"ab", "b"}, []string{"a", "abc"}},
		{"order of unequal rules is nothing", []string{"-abc*", "ab*", "-a*"}, []string{"ab", "b"}, []string{"a", "abc"}},
		{"a key before its prefix", []string{"abc", "-abc*"}, []string{"abc"}, []string{"abcd"}},
		{"subdomain before domain", []string{"b.c/", "-c/"}, []string{"b.c/x", "a.b.c/x"}, []string{"c/x", "a.c/x"}},
		{"a key before its domain", []string{"-c/x", "c/"}, []string{"c/y"}, []string{"c/x"}},
		{"of equal ones the last", []string{"-app", "app", "-x/", "x/", "y/", "-y/"}, []string{"app", "x/a"}, []string{"y/a"}},
		{"a domain is no suffix", []string{"-c/"}, []string{"abc/x", "c"}, []string{"c/x"}},
		{"a domain of namespaces", []string{"-namespace:c/"}, []string{"c/x"}, []string{"namespace:c/x", "namespace:a.c/x"}},
	} {
		f := filter(t, c.rules...)
		for _, k := range c.yes {
			if !f.Counts(k) {
				t.Errorf("%s: %s does not count", c.name, k)
			}
		}
		for _, k := range c.no {
			if f.Counts(k) {
				t.Errorf("%s: %s counts", c.name, k)
			}
		}
	}
}

func TestFilterRefusesRules(t *testing.T) {
	for _, s := range []string{"", "-", "/", "-/", "a*b", "*a", "a b", "a:b", "namespace:", "a/b/", "namespace:a/b/", "namespace:namespace:a"} {
		if _, err := NewFilter(s); err == nil {
			t.Errorf("%q is taken for a rule", s)
		}
	}
}

func TestLabels(t *testing.T) {
	f := filter(t, DefaultRules...)
	p := &Pod{
		Namespace: "shop", Name: "cart-0", ServiceAccount: "cart",
		Labels: map[string]string{
			"app": "cart", "pod-template-hash": "x", ClusterLabel: "forged", NamespaceLabel: "forged", AccountLabel: "forged",
		},
	}
	got := f.Labels("east", p, map[string]string{"team": "a", "kubernetes.io/metadata.name": "shop"})
	want := map[string]string{
		"app": "cart", ClusterLabel: "east", NamespaceLabel: "shop", AccountLabel: "cart",
		"namespace:team": "a", "namespace:kubernetes.io/metadata.name": "shop",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	p.ServiceAccount = ""
	if got := f.Labels("east", p, nil); got[AccountLabel] != "" {
		t.Errorf("a pod gave itself the account %q", got[AccountLabel])
	}
}
