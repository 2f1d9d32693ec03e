package translate

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// The forms of names and labels, as in the rules of the schemas.
var (
	subdomainForm  = regexp.MustCompile(`^` + subdomain + `$`)
	labelKeyForm   = regexp.MustCompile(`^(` + subdomain + `/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
	labelValueForm = regexp.MustCompile(`^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$`)
)

const (
	subdomain     = `[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*`
	longSubdomain = 253
)

func isSubdomain(s string) bool { return len(s) <= longSubdomain && subdomainForm.MatchString(s) }

// labelKey checks the key of a label.
func (c *checker) labelKey(path []string, key string) {
	if prefix, _, _ := strings.Cut(key, "/"); len(prefix) > longSubdomain || !labelKeyForm.MatchString(key) {
		c.wrongAt(path, "%q is not a label's key, such as app or example.com/app", key)
	}
}

// labelValue checks the value of a label.
func (c *checker) labelValue(path []string, value string) {
	if !labelValueForm.MatchString(value) {
		c.wrongAt(path, "%q is not a label's value: at most 63 letters, digits, '-', '_' and '.', a letter or digit at its ends", value)
	}
}

// labels checks both of every label, in an order that does not change.
func (c *checker) labels(path string, labels map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		field := append(strings.Split(path, "."), k)
		c.labelKey(field, k)
		c.labelValue(field, labels[k])
	}
}

// once checks that nothing is in a list twice.
func once[T comparable](c *checker, path string, list []T) {
	for i, v := range list {
		if slices.Contains(list[:i], v) {
			c.wrong(at(path, i), "%v is there twice; remove one", v)
		}
	}
}

// atMost checks how many there are.
func (c *checker) atMost(path string, n, most int) {
	if n > most {
		c.wrong(path, "has %d, and must have at most %d", n, most)
	}
}
