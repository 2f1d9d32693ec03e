package bgp

import (
	"fmt"
	"net/netip"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"tombolo.io/tombolo/bgp/advertise"
	"tombolo.io/tombolo/clustermesh"
)

// originIGP is the value of ORIGIN for a route that its AS knows from itself
// (RFC 4271 5.1.1).
const originIGP = 0

// encode returns a path in the library's form. Its next hop is explicit, which
// makes the library leave it as it is towards routers of another AS too.
func encode(p advertise.Path) (*api.Path, error) {
	family := apiFamily(familyOf(p.Prefix.Addr()))
	nlri := &api.IPAddressPrefix{Prefix: p.Prefix.Addr().String(), PrefixLen: uint32(p.Prefix.Bits())}
	packed, err := anypb.New(nlri)
	if err != nil {
		return nil, fmt.Errorf("encoding the prefix %s: %w", p.Prefix, err)
	}
	out := &api.Path{Family: family, Nlri: packed}
	attributes := []proto.Message{&api.OriginAttribute{Origin: originIGP}, nextHop(p, family, packed)}
	switch {
	case p.Leaving:
		attributes = append(attributes, &api.LocalPrefAttribute{LocalPref: 0})
	case p.LocalPref > 0:
		attributes = append(attributes, &api.LocalPrefAttribute{LocalPref: p.LocalPref})
	}
	for _, a := range append(attributes, communities(p.Communities)...) {
		packed, err := anypb.New(a)
		if err != nil {
			return nil, fmt.Errorf("encoding the attributes of %s: %w", p.Prefix, err)
		}
		out.Pattrs = append(out.Pattrs, packed)
	}
	return out, nil
}

// nextHop returns the attribute that carries a path's next hop: NEXT_HOP for
// IPv4 (RFC 4271 5.1.3), MP_REACH_NLRI for IPv6 (RFC 4760 3).
func nextHop(p advertise.Path, family *api.Family, nlri *anypb.Any) proto.Message {
	if p.Prefix.Addr().Is4() {
		return &api.NextHopAttribute{NextHop: p.NextHop.String()}
	}
	return &api.MpReachNLRIAttribute{Family: family, NextHops: []string{p.NextHop.String()}, Nlris: []*anypb.Any{nlri}}
}

// communities returns the attributes COMMUNITIES (RFC 1997) and
// LARGE_COMMUNITY (RFC 8092), each only where there is one of its kind.
func communities(all []clustermesh.Community) []proto.Message {
	var standard []uint32
	var large []*api.LargeCommunity
	for _, c := range all {
		if c.Large {
			large = append(large, &api.LargeCommunity{GlobalAdmin: c.Global, LocalData1: c.Local1, LocalData2: c.Local2})
		} else {
			standard = append(standard, c.Standard)
		}
	}
	var out []proto.Message
	if len(standard) > 0 {
		out = append(out, &api.CommunitiesAttribute{Communities: standard})
	}
	if len(large) > 0 {
		out = append(out, &api.LargeCommunitiesAttribute{Communities: large})
	}
	return out
}

func familyOf(a netip.Addr) clustermesh.Family {
	if a.Is4() {
		return clustermesh.IPv4Unicast
	}
	return clustermesh.IPv6Unicast
}

func apiFamily(f clustermesh.Family) *api.Family {
	if f == clustermesh.IPv4Unicast {
		return &api.Family{Afi: api.Family_AFI_IP, Safi: api.Family_SAFI_UNICAST}
	}
	return &api.Family{Afi: api.Family_AFI_IP6, Safi: api.Family_SAFI_UNICAST}
}
