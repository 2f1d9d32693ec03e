package builtin

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// path writes a path of an event: "PREFIX NEXTHOP", with "-" before a withdrawal.
func path(t *testing.T, s string) *api.Path {
	t.Helper()
	s, withdrawn := strings.CutPrefix(s, "-")
	first, hop, _ := strings.Cut(s, " ")
	p := netip.MustParsePrefix(first)
	nlri := pack(t, &api.IPAddressPrefix{Prefix: p.Addr().String(), PrefixLen: uint32(p.Bits())})
	family := &api.Family{Afi: api.Family_AFI_IP, Safi: api.Family_SAFI_UNICAST}
	var with proto.Message = &api.NextHopAttribute{NextHop: hop}
	if p.Addr().Is6() {
		family.Afi = api.Family_AFI_IP6
		with = &api.MpReachNLRIAttribute{Family: family, NextHops: []string{hop}, Nlris: []*anypb.Any{nlri}}
	}
	return &api.Path{Family: family, Nlri: nlri, IsWithdraw: withdrawn,
		Pattrs: []*anypb.Any{pack(t, &api.OriginAttribute{}), pack(t, with)}}
}

func pack(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestChoices(t *testing.T) {
	for _, c := range []struct{ name, event, want string }{
		{"one", "10.8.0.0/24 10.9.0.1", "10.8.0.0/24 [10.9.0.1]"},
		{"equal ones, sorted", "10.8.0.0/24 10.9.0.2, 10.8.0.0/24 10.9.0.1", "10.8.0.0/24 [10.9.0.1 10.9.0.2]"},
		{"the same next hop twice", "10.8.0.0/24 10.9.0.1, 10.8.0.0/24 10.9.0.1", "10.8.0.0/24 [10.9.0.1]"},
		{"several prefixes", "10.8.1.0/24 10.9.0.1, 10.8.0.0/24 10.9.0.2", "10.8.1.0/24 [10.9.0.1], 10.8.0.0/24 [10.9.0.2]"},
		{"IPv6", "2001:db8::/32 fd00::1", "2001:db8::/32 [fd00::1]"},
		{"withdrawal", "-10.8.0.0/24 10.9.0.1", "10.8.0.0/24 []"},
		{"our own network", "10.8.0.0/24 0.0.0.0", "10.8.0.0/24 []"},
		{"our own IPv6 network", "2001:db8::/32 ::", "2001:db8::/32 []"},
	} {
		var event []*api.Path
		for s := range strings.SplitSeq(c.event, ", ") {
			event = append(event, path(t, s))
		}
		var got []string
		for _, b := range choices(event) {
			got = append(got, fmt.Sprint(b.prefix, " ", b.hops))
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%s: got %s, want %s", c.name, s, c.want)
		}
	}
}

func TestChoicesLeavesOutWhatIsNoRoute(t *testing.T) {
	label := &api.Path{Nlri: pack(t, &api.LabeledIPAddressPrefix{Prefix: "10.8.0.0", PrefixLen: 24})}
	if got := choices([]*api.Path{label, path(t, "10.8.1.0/24 10.9.0.1")}); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

func TestDescribe(t *testing.T) {
	p := path(t, "203.0.113.7/32 10.9.0.1")
	for _, m := range []proto.Message{
		&api.CommunitiesAttribute{Communities: []uint32{65000<<16 | 1, 0xffffff01}},
		&api.LargeCommunitiesAttribute{Communities: []*api.LargeCommunity{{GlobalAdmin: 65000, LocalData1: 1, LocalData2: 2}}},
	} {
		p.Pattrs = append(p.Pattrs, pack(t, m))
	}
	got, err := describe(p)
	if want := "203.0.113.7/32 via 10.9.0.1 65000:1 65535:65281 65000:1:2\n"; got != want || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if got, err := describe(path(t, "2001:db8::/32 fd00::1")); got != "2001:db8::/32 via fd00::1\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}
