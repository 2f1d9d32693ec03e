package clustermesh

import (
	"fmt"
	"strconv"
	"strings"
)

// Community is a BGP community: a standard one of 32 bits (RFC 1997), or a
// large one of three numbers (RFC 8092).
type Community struct {
	Large bool
	// Standard is the value of a standard community.
	Standard uint32
	// Global, Local1 and Local2 are the numbers of a large one.
	Global, Local1, Local2 uint32
}

// wellKnown are the names of standard communities, from the IANA registry.
var wellKnown = map[string]uint32{
	"graceful-shutdown":   0xffff0000, // RFC 8326
	"accept-own":          0xffff0001, // RFC 7611
	"llgr-stale":          0xffff0006, // RFC 9494
	"no-llgr":             0xffff0007, // RFC 9494
	"blackhole":           0xffff029a, // RFC 7999
	"no-export":           0xffffff01, // RFC 1997
	"no-advertise":        0xffffff02, // RFC 1997
	"no-export-subconfed": 0xffffff03, // RFC 1997
	"no-peer":             0xffffff04, // RFC 3765
}

// String returns the community as ParseCommunity reads it, a well-known one by
// its name.
func (c Community) String() string {
	if c.Large {
		return fmt.Sprintf("%d:%d:%d", c.Global, c.Local1, c.Local2)
	}
	for name, v := range wellKnown {
		if v == c.Standard {
			return name
		}
	}
	return fmt.Sprintf("%d:%d", c.Standard>>16, c.Standard&0xffff)
}

// ParseCommunity reads "65000:1", "65000:1:2" or the name of a well-known
// community, such as no-export.
func ParseCommunity(s string) (Community, error) {
	if v, ok := wellKnown[s]; ok {
		return Community{Standard: v}, nil
	}
	parts := strings.Split(s, ":")
	bits := 16
	switch len(parts) {
	case 2:
	case 3:
		bits = 32
	default:
		return Community{}, fmt.Errorf("parsing community %q: want A:B, A:B:C or a well-known name", s)
	}
	var n [3]uint32
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 10, bits)
		if err != nil || p != strconv.FormatUint(v, 10) {
			return Community{}, fmt.Errorf("parsing community %q: %q is no number of %d bits", s, p, bits)
		}
		n[i] = uint32(v)
	}
	if len(parts) == 2 {
		return Community{Standard: n[0]<<16 | n[1]}, nil
	}
	return Community{Large: true, Global: n[0], Local1: n[1], Local2: n[2]}, nil
}
