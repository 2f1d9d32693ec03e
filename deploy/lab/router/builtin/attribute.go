package builtin

import (
	"log/slog"
	"maps"
	"net/netip"
	"slices"

	"github.com/osrg/gobgp/v3/pkg/log"
	"github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// nextHop returns the next hop among a path's attributes, wherever its family
// has it.
func nextHop(attrs []bgp.PathAttributeInterface) netip.Addr {
	for _, a := range attrs {
		switch a := a.(type) {
		case *bgp.PathAttributeNextHop:
			hop, _ := netip.AddrFromSlice(a.Value)
			return hop.Unmap()
		case *bgp.PathAttributeMpReachNLRI:
			hop, _ := netip.AddrFromSlice(a.Nexthop)
			return hop
		}
	}
	return netip.Addr{}
}

// libraryLog hands the library's log to slog. What the library calls fatal does
// not end the process: this is a router of a lab, and its neighbours are known.
type libraryLog struct{ log *slog.Logger }

func (l libraryLog) Panic(msg string, f log.Fields) { l.log.Error(msg, attrs(f)...) }
func (l libraryLog) Fatal(msg string, f log.Fields) { l.log.Error(msg, attrs(f)...) }
func (l libraryLog) Error(msg string, f log.Fields) { l.log.Error(msg, attrs(f)...) }
func (l libraryLog) Warn(msg string, f log.Fields)  { l.log.Warn(msg, attrs(f)...) }
func (l libraryLog) Info(msg string, f log.Fields)  { l.log.Info(msg, attrs(f)...) }
func (l libraryLog) Debug(msg string, f log.Fields) { l.log.Debug(msg, attrs(f)...) }
func (l libraryLog) SetLevel(log.LogLevel)          {}
func (l libraryLog) GetLevel() log.LogLevel         { return log.InfoLevel }

func attrs(f log.Fields) []any {
	out := make([]any, 0, 2*len(f))
	for _, k := range slices.Sorted(maps.Keys(f)) {
		out = append(out, k, f[k])
	}
	return out
}
