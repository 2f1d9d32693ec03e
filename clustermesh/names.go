package clustermesh

import (
	"net/netip"
	"strings"
)

// This file says of single values what they are; check.go reports those that
// are not what their field wants.

func isLower(b byte) bool { return 'a' <= b && b <= 'z' || '0' <= b && b <= '9' }
func isAlnum(b byte) bool { return isLower(b) || 'A' <= b && b <= 'Z' }

// isLabel says whether s is a label of RFC 1123 in lower case.
func isLabel(s string) bool {
	if len(s) == 0 || len(s) > maxLabel || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if !isLower(s[i]) && s[i] != '-' {
			return false
		}
	}
	return true
}

// isSubdomain says whether s is labels joined by dots, 253 bytes at most.
func isSubdomain(s string) bool {
	if len(s) > maxSubdomain {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return true
}

// isNamePart says whether s is the name part of a label's key, or a label's
// value that is not empty.
func isNamePart(s string) bool {
	if len(s) == 0 || len(s) > maxLabel || !isAlnum(s[0]) || !isAlnum(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if !isAlnum(s[i]) && !strings.Contains("-_.", s[i:i+1]) {
			return false
		}
	}
	return true
}

// isQualified says whether s is a label's key, such as app.kubernetes.io/name.
func isQualified(s string) bool {
	if prefix, name, ok := strings.Cut(s, "/"); ok {
		return isSubdomain(prefix) && isNamePart(name)
	}
	return isNamePart(s)
}

// notAddress says what makes a useless as the address of a machine or a
// service, or nothing. Special addresses would lead a reader to itself or to
// its own link.
func notAddress(a netip.Addr) string {
	switch {
	case !a.IsValid():
		return "must be an address of 4 or 16 bytes"
	case a.Is4In6():
		return "must be written as IPv4, not mapped"
	case a.Zone() != "":
		return "must have no zone"
	case a.IsUnspecified(), a.IsLoopback(), a.IsMulticast(), a.IsLinkLocalUnicast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "must not be unspecified, loopback, link-local, multicast or broadcast"
	}
	return ""
}

// isPrime is trial division, good enough below MaxTableSize.
func isPrime(n uint32) bool {
	for d := uint32(2); d*d <= n; d++ {
		if n%d == 0 {
			return false
		}
	}
	return n > 1
}
