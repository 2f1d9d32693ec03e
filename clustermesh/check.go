package clustermesh

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits that Kubernetes sets to names, and those that bound our lists.
const (
	maxLabel     = 63
	maxSubdomain = 253
	maxText      = 1024
	maxLabels    = 1000
	maxPorts     = 1000
)

func (c *checker) label(field, s string) {
	if !isLabel(s) {
		c.fail(field, s, "must be an RFC 1123 label: 1 to 63 of a-z, 0-9 and -, no - at its ends")
	}
}

func (c *checker) subdomain(field, s string) {
	if !isSubdomain(s) {
		c.fail(field, s, "must be an RFC 1123 subdomain: labels joined by dots, at most 253 bytes")
	}
}

// value checks a label's value, which may be empty.
func (c *checker) value(field, s string) {
	if s != "" && !isNamePart(s) {
		c.fail(field, s, notValue)
	}
}

// token checks an opaque word: printable ASCII without spaces, at most 253 bytes.
func (c *checker) token(field, s string) {
	bad := func(r rune) bool { return r <= ' ' || r > '~' }
	if len(s) > maxSubdomain || strings.ContainsFunc(s, bad) {
		c.fail(field, s, "must be at most 253 printable ASCII characters without spaces")
	}
}

// required is token for a word that may not be empty.
func (c *checker) required(field, s string) {
	if s == "" {
		c.fail(field, s, "must not be empty")
	}
	c.token(field, s)
}

// text checks a line for people.
func (c *checker) text(field, s string) {
	if len(s) > maxText || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		c.fail(field, s, "must be at most %d bytes of UTF-8 without control characters", maxText)
	}
}

// What is wrong with a label.
const (
	notKey   = "must have keys that are qualified names"
	notValue = "must be a label's value: at most 63 of A-Z, a-z, 0-9, -, _ and ., alphanumeric at its ends"
)

// notLabel says what is wrong with a label of Kubernetes, or nothing.
func notLabel(k, v string) string {
	switch {
	case !isQualified(k):
		return notKey
	case v != "" && !isNamePart(v):
		return notValue
	}
	return ""
}

func (c *checker) labels(field string, m map[string]string) { c.labelsOf(field, m, notLabel) }

// labelsOf checks labels by a function that says what is wrong with one.
func (c *checker) labelsOf(field string, m map[string]string, wrong func(k, v string) string) {
	if len(m) > maxLabels {
		c.fail(field, len(m), "must be at most %d labels", maxLabels)
	}
	for k, v := range m {
		if wrong(k, v) != "" {
			c.badLabels(field, m, wrong)
			return
		}
	}
}

// badLabels reports what labelsOf found, in an order that does not change.
func (c *checker) badLabels(field string, m map[string]string, wrong func(k, v string) string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if reason := wrong(k, m[k]); reason != "" {
			c.fail(field, k+"="+m[k], "%s", reason)
		}
	}
}

// count checks the length of a list.
func (c *checker) count(field string, n, most int) {
	if n > most {
		c.fail(field, n, "must be at most %d", most)
	}
}

// sortedLabels checks a sorted list of different labels.
func (c *checker) sortedLabels(field string, labels []string, most int) {
	c.count(field, len(labels), most)
	for i, s := range labels {
		c.label(field, s)
		if i > 0 && labels[i-1] >= s {
			c.fail(field, s, "must be sorted, each once")
		}
	}
}

func (c *checker) address(field string, a netip.Addr) {
	if reason := notAddress(a); reason != "" {
		c.fail(field, a, "%s", reason)
	}
}

// addresses checks a list of different addresses.
func (c *checker) addresses(field string, as []netip.Addr, most int) {
	c.count(field, len(as), most)
	for i, a := range as[:min(len(as), most)] {
		c.address(field, a)
		if slices.Contains(as[:i], a) {
			c.fail(field, a, "must not occur twice")
		}
	}
}

// specialPrefixes are those that no cluster can own.
var specialPrefixes = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("::/127"), netip.MustParsePrefix("::ffff:0:0/96"),
	netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff00::/8"),
}

// prefixes checks a list of prefixes that do not overlap.
func (c *checker) prefixes(field string, ps []netip.Prefix, most int) {
	c.count(field, len(ps), most)
	for i, p := range ps[:min(len(ps), most)] {
		switch {
		case !p.IsValid():
			c.fail(field, p, "must be an address of 4 or 16 bytes and a length that fits it")
			continue
		case p.Masked() != p:
			c.fail(field, p, "must be %s: bits are set beyond its length", p.Masked())
		case slices.ContainsFunc(specialPrefixes, p.Overlaps):
			c.fail(field, p, "must not reach into loopback, link-local, multicast or mapped addresses")
		}
		if j := slices.IndexFunc(ps[:i], p.Overlaps); j >= 0 {
			c.fail(field, p, "must not overlap with %s", ps[j])
		}
	}
}

// distinct checks that no element of a list occurs twice.
func distinct[T comparable](c *checker, field string, list []T) {
	for i, v := range list {
		if slices.Contains(list[:i], v) {
			c.fail(field, v, "must not occur twice")
		}
	}
}

// seconds checks a duration of whole seconds between bounds, or zero.
func (c *checker) seconds(field string, d, least, most time.Duration) {
	if d != 0 && (d < least || d > most || d%time.Second != 0) {
		c.fail(field, d, "must be whole seconds from %s to %s, or zero", least, most)
	}
}

// nonZero checks a port.
func (c *checker) nonZero(field string, port uint16) {
	if port == 0 {
		c.fail(field, port, "must be 1 to 65535")
	}
}

func (c *checker) protocol(p Protocol) {
	if p != TCP && p != UDP && p != SCTP {
		c.fail("protocol", uint8(p), "must be 6 (TCP), 17 (UDP) or 132 (SCTP)")
	}
}

// atMost checks an enumeration, whose values count from zero.
func atMost[T ~uint8](c *checker, field string, v, last T) {
	if v > last {
		c.fail(field, uint8(v), "must be 0 to %d: this version knows no other", last)
	}
}

func (c *checker) absolute(field, path string) {
	if !strings.HasPrefix(path, "/") || strings.ContainsRune(path, 0) || len(path) > 4095 {
		c.fail(field, path, "must be an absolute path")
	}
}
