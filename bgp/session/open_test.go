package session

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// outcome writes a result or the NOTIFICATION in its place.
func outcome(result any, err error) string {
	var n *Notification
	if errors.As(err, &n) {
		return fmt.Sprintf("%d/%d %x", n.Code, n.Subcode, n.Data)
	}
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(result)
}

func TestParseOpen(t *testing.T) {
	o, err := ParseOpen(theRouter())
	if err != nil {
		t.Fatal(err)
	}
	if o.ASN != 64512 || o.ID != netip.MustParseAddr("10.0.0.2") || o.HoldTime != 9*time.Second || !o.FourOctetAS ||
		o.Hostname != "tor" || fmt.Sprint(o.Families) != "[ipv4-unicast ipv6-unicast]" {
		t.Errorf("got %+v", o)
	}
	if r := o.Restart; r == nil || !r.Restarted || r.Time != 120*time.Second || !r.Forwarding[IPv4Unicast] || r.Forwarding[IPv6Unicast] {
		t.Errorf("restart %+v", r)
	}
	if o, err = ParseOpen(openOf(64512, 9, "10.0.0.2")); err != nil || fmt.Sprint(o.Families) != "[ipv4-unicast]" || o.FourOctetAS {
		t.Errorf("without capabilities: %+v, %v", o, err)
	}
	wide := build(typeOpen, theRouter().body()[:9], []byte{255, 255, 0, 9, 2, 0, 6, 65, 4, 0, 1, 0, 0})
	if o, err = ParseOpen(wide); err != nil || o.ASN != 65536 {
		t.Errorf("parameters with lengths of two bytes (RFC 9072): %+v, %v", o, err)
	}
}

func TestMalformedOpen(t *testing.T) {
	fixed := theRouter().body()[:9]
	for _, c := range []struct {
		name   string
		params []byte
		want   string
	}{
		{"parameters longer than the message", []byte{4, 2, 0}, "2/0 "},
		{"parameter longer than its field", []byte{2, 2, 4}, "2/0 "},
		{"authentication, a parameter of old", []byte{2, 1, 0}, "2/4 "},
		{"capability longer than its parameter", []byte{4, 2, 2, 65, 4}, "2/0 "},
		{"AS number of two octets", []byte{6, 2, 4, 65, 2, 0, 1}, "2/0 "},
		{"family of three octets", []byte{7, 2, 5, 1, 3, 0, 1, 0}, "2/0 "},
		{"restart without time", []byte{5, 2, 3, 64, 1, 0}, "2/0 "},
		{"restart with half a family", []byte{8, 2, 6, 64, 4, 0, 120, 0, 1}, "2/0 "},
		{"add-path with half a family", []byte{6, 2, 4, 69, 2, 0, 1}, "2/0 "},
		{"next hop encoding cut", []byte{6, 2, 4, 5, 2, 0, 1}, "2/0 "},
	} {
		_, err := ParseOpen(build(typeOpen, fixed, c.params))
		if got := outcome("accepted", err); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestAdmit(t *testing.T) {
	local, err := ParseOpen(openOf(64513, 90, "10.0.0.1", []byte{65, 4, 0, 0, 0xfc, 1}))
	if err != nil {
		t.Fatal(err)
	}
	same, err := ParseOpen(openOf(64512, 90, "10.0.0.2", []byte{65, 4, 0, 0, 0xfc, 0}))
	if err != nil {
		t.Fatal(err)
	}
	version := theRouter()
	version[headerLen] = 3
	for _, c := range []struct {
		name       string
		local      Open
		open       message
		want, says string
	}{
		{"right", local, theRouter(), "", ""},
		{"version 3", local, version, "2/1 0004", "version 3"},
		{"wrong AS", local, openOf(64999, 9, "10.0.0.2"), "2/2 ", "peer says its AS is 64999, we expect 64512"},
		{"wrong AS of four octets", local, openOf(64512, 9, "10.0.0.2", []byte{65, 4, 0, 1, 0, 0}), "2/2 ", "AS is 65536, we expect 64512"},
		{"no identifier", local, openOf(64512, 9, "0.0.0.0"), "2/3 ", "0.0.0.0"},
		{"our identifier in our AS", same, theRouter(), "2/3 ", "our own BGP identifier"},
		{"hold time 0", local, openOf(64512, 0, "10.0.0.2"), "2/6 ", "hold time 0"},
		{"hold time 2", local, openOf(64512, 2, "10.0.0.2"), "2/6 ", "hold time 2s"},
	} {
		o, err := ParseOpen(c.open)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		n, why := admit(Config{ASN: 64512}, c.local, o)
		got := ""
		if n != nil {
			got = outcome(nil, n)
		}
		if got != c.want || !strings.Contains(why, c.says) {
			t.Errorf("%s: got %q %q, want %q %q", c.name, got, why, c.want, c.says)
		}
	}
}

func TestForwardingSetsEveryFBit(t *testing.T) {
	m := openOf(64513, 90, "10.0.0.1", []byte{64, 10, 0x40, 120, 0, 1, 1, 0, 0, 2, 1, 0}, []byte{64, 2, 0, 1})
	before := clone(m)
	o, err := ParseOpen(forwarding(m))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m, before) {
		t.Error("the message itself was changed")
	}
	first, err := ParseOpen(forwarding(openOf(64513, 90, "10.0.0.1", []byte{64, 10, 0x40, 120, 0, 1, 1, 0, 0, 2, 1, 0})))
	if err != nil || !first.Restart.Forwarding[IPv4Unicast] || !first.Restart.Forwarding[IPv6Unicast] || first.Restart.Restarted {
		t.Errorf("got %+v, %v", first.Restart, err)
	}
	if len(o.Restart.Forwarding) != 0 || o.Restart.Time != time.Second {
		t.Errorf("a capability without families: %+v", o.Restart)
	}
}

func TestOpenForGoBGPHasOnlyWhatItNeeds(t *testing.T) {
	m := openOf(64512, 9, "10.0.0.2", []byte{1, 4, 0, 1, 0, 1}, []byte{1, 4, 0, 1, 0, 128}, []byte{65, 4, 0, 1, 0, 0},
		append([]byte{73, 4, 2}, "abc"...), []byte{75, 1, 0xff}, []byte{128, 0}, []byte{70, 0})
	o, err := ParseOpen(m)
	if err != nil {
		t.Fatal(err)
	}
	pass := o.forGoBGP()
	if err := external.decode([]message{pass}); err != nil {
		t.Fatal(err)
	}
	parsed, err := bgp.ParseBGPMessage(pass)
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, p := range parsed.Body.(*bgp.BGPOpen).OptParams {
		for _, c := range p.(*bgp.OptionParameterCapability).Capability {
			codes = append(codes, c.Code().String())
		}
	}
	if got := strings.Join(codes, " "); got != "multiprotocol 4-octet-as" {
		t.Errorf("passed on: %s", got)
	}
	if as := parsed.Body.(*bgp.BGPOpen).MyAS; as != asTrans {
		t.Errorf("AS 65536 is written as %d", as)
	}
}

func TestAgree(t *testing.T) {
	local := Open{ASN: 64513, HoldTime: 90 * time.Second, FourOctetAS: true,
		Families: []Family{IPv4Unicast, IPv6Unicast}, AddPath: map[Family]uint8{IPv4Unicast: 1}}
	router := Open{ASN: 64512, HoldTime: 9 * time.Second, FourOctetAS: true,
		Families: []Family{IPv4Unicast, {1, 128}}, AddPath: map[Family]uint8{IPv4Unicast: 3}}
	got := agree(local, router)
	if fmt.Sprint(got.families) != "map[ipv4-unicast:true]" || !got.fourAS || !got.external || got.holdTime != 9*time.Second || got.sendsIDs {
		t.Errorf("got %+v", got)
	}
	local.AddPath[IPv4Unicast] = 2
	if got = agree(local, router); got.families[IPv4Unicast] || !got.sendsIDs {
		t.Errorf("got %+v", got)
	}
	local.AddPath[IPv4Unicast] = 1
	router.AddPath[IPv4Unicast], router.ASN, router.FourOctetAS = 1, 64513, false
	got = agree(local, router)
	if got.families[IPv4Unicast] || got.external || got.fourAS {
		t.Errorf("got %+v", got)
	}
}
