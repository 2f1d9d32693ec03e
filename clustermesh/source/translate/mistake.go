package translate

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"tombolo.io/tombolo/clustermesh"
)

// FieldError is a mistake in one field of an object.
type FieldError struct {
	// Path leads from the object to the field; an index of a list is a number.
	Path []string
	// Reason says what is wrong with the value and what would be right.
	Reason string
}

// Error returns "spec.ports[0].port: 70000 is not …".
func (e *FieldError) Error() string {
	var b strings.Builder
	for i, p := range e.Path {
		switch {
		case isIndex(p):
			b.WriteString("[" + p + "]")
			continue
		case strings.ContainsAny(p, "./"):
			b.WriteString("[" + strconv.Quote(p) + "]")
			continue
		case i > 0:
			b.WriteByte('.')
		}
		b.WriteString(p)
	}
	return b.String() + ": " + e.Reason
}

func isIndex(s string) bool {
	_, err := strconv.ParseUint(s, 10, 32)
	return err == nil
}

// Mistakes takes an error of this package apart.
func Mistakes(err error) []*FieldError {
	var one *FieldError
	if errors.As(err, &one) && error(one) == err {
		return []*FieldError{one}
	}
	var out []*FieldError
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			out = append(out, Mistakes(e)...)
		}
	}
	return out
}

// checker collects the mistakes of one object while it is read.
type checker struct {
	errs []error
	// annotated names the annotations that fields of the noun come from.
	annotated map[string]string
}

func (c *checker) err() error { return errors.Join(c.errs...) }

// wrong notes a mistake; path is the field's, dots between its parts.
func (c *checker) wrong(path, format string, args ...any) {
	c.wrongAt(strings.Split(path, "."), format, args...)
}

// wrongAt is wrong for a path of which a part may have dots.
func (c *checker) wrongAt(path []string, format string, args ...any) {
	c.errs = append(c.errs, &FieldError{Path: path, Reason: fmt.Sprintf(format, args...)})
}

// valid adds what the mesh itself demands of a noun, once the object has no
// other mistakes: everything that would be refused later has a place here.
func (c *checker) valid(o clustermesh.Object) {
	if len(c.errs) > 0 {
		return
	}
	var invalid *clustermesh.InvalidError
	err := clustermesh.Validate(clustermesh.KeyOf(clustermesh.Private, o), o)
	if !errors.As(err, &invalid) {
		if err != nil {
			c.errs = append(c.errs, err)
		}
		return
	}
	for _, p := range invalid.Problems {
		field, _, _ := strings.Cut(p.Field, "[")
		if key, ok := c.annotated[field]; ok {
			c.wrongAt([]string{"metadata", "annotations", key}, "%s %s", p.Value, p.Reason)
			continue
		}
		// Its fields are often named as in the object, and then lead to their line.
		c.wrong(strings.NewReplacer("[", ".", "]", "").Replace(p.Field), "%s %s", p.Value, p.Reason)
	}
}

// name checks what becomes part of a key.
func (c *checker) name(m *metav1.ObjectMeta, namespaced bool) {
	switch {
	case m.Name == "":
		c.wrong("metadata.name", "is missing")
	case len(validation.IsDNS1123Subdomain(m.Name)) > 0:
		c.wrong("metadata.name", "%q is not a name: lower case letters, digits, '-' and '.', at most 253", m.Name)
	}
	if namespaced && len(validation.IsDNS1123Label(m.Namespace)) > 0 {
		c.wrong("metadata.namespace", "%q is not a namespace: lower case letters, digits and '-', at most 63", m.Namespace)
	}
}

// addr reads an address that can be somebody's: no zone, not unspecified.
func (c *checker) addr(path, s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
		c.wrong(path, "%q is not the address of one host, such as 10.1.2.3 or fd00::1", s)
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

// prefix reads a CIDR without host bits.
func (c *checker) prefix(path, s string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil || p.Addr().Is4In6():
		c.wrong(path, "%q is not a CIDR such as 10.1.0.0/24 or fd00:1::/64", s)
	case p != p.Masked():
		c.wrong(path, "%q has bits set behind its length; %s was meant?", s, p.Masked())
	default:
		return p, true
	}
	return netip.Prefix{}, false
}

// between reads a number within bounds.
func between[T ~uint8 | ~uint16 | ~uint32](c *checker, path string, v, lo, hi int64) T {
	if v < lo || v > hi {
		c.wrong(path, "%d is not between %d and %d", v, lo, hi)
		return 0
	}
	return T(v)
}

func at(path string, i int) string { return path + "." + strconv.Itoa(i) }
