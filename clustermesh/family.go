package clustermesh

import (
	"fmt"
	"net/netip"
)

// Families is a set of address families.
type Families uint8

// The families.
const (
	IPv4 Families = 1 << iota
	IPv6
)

// AllFamilies are both.
const AllFamilies = IPv4 | IPv6

// FamilyOf returns the family of an address that is not mapped.
func FamilyOf(a netip.Addr) Families {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// Has reports whether all of some families are among these.
func (f Families) Has(some Families) bool { return f&some == some }

// String returns what people call them; nothing for none.
func (f Families) String() string {
	switch f {
	case 0:
		return ""
	case IPv4:
		return "IPv4"
	case IPv6:
		return "IPv6"
	case AllFamilies:
		return "IPv4 and IPv6"
	}
	return fmt.Sprintf("families %#x", uint8(f))
}

// MarshalText writes String.
func (f Families) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads what String writes.
func (f *Families) UnmarshalText(text []byte) error {
	for some := range AllFamilies + 1 {
		if some.String() == string(text) {
			*f = some
			return nil
		}
	}
	return fmt.Errorf("%q is no address family: want IPv4, IPv6, or IPv4 and IPv6", text)
}
