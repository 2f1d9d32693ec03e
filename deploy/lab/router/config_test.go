package router

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func example() Config {
	return Config{
		Name: "tor", Dir: "/run/tor", ASN: 65001, ID: netip.MustParseAddr("172.20.1.254"),
		Nodes:    []netip.Prefix{netip.MustParsePrefix("172.20.1.0/24"), netip.MustParsePrefix("fd00:20:1::/64")},
		NodeASN:  64513,
		Password: "secret",
		Links: []Link{
			{65002, netip.MustParseAddr("172.31.0.0"), netip.MustParseAddr("172.31.0.1")},
			{65002, netip.MustParseAddr("fd00:31::"), netip.MustParseAddr("fd00:31::1")},
		},
		Networks: []netip.Prefix{netip.MustParsePrefix("172.20.1.0/24")},
	}
}

func TestValidateNamesEveryMistake(t *testing.T) {
	c := Config{Dir: "tor", ID: netip.MustParseAddr("::1"), RestartTime: 4096 * time.Second, HoldTime: 2 * time.Second,
		Nodes: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")},
		Links: []Link{{1, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}}}
	err := c.Validate()
	if err == nil {
		t.Fatal("a wrong configuration is valid")
	}
	for _, want := range []string{"no name", "not absolute", "no AS number", "not an IPv4", "10.0.0.1/24", "one family", "4095s", "hold time 2s"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if err := example().Validate(); err != nil {
		t.Errorf("a right configuration: %v", err)
	}
}

// TestConfigurationFiles looks for the lines on which the rest of the tests
// could not tell: those that matter only to other peers than ours.
func TestConfigurationFiles(t *testing.T) {
	for _, c := range []struct {
		kind Kind
		want []string
	}{
		{FRR, []string{"no bgp ebgp-requires-policy", "bgp graceful-restart restart-time 120",
			"bgp listen range fd00:20:1::/64 peer-group NODES", "neighbor NODES remote-as 64513",
			"neighbor NODES password secret", "neighbor 172.31.0.1 update-source 172.31.0.0"}},
		{BIRD, []string{"graceful restart time 120", "neighbor range 172.20.1.0/24 as 64513",
			"password \"secret\"", "route 172.20.1.0/24 unreachable"}},
		{Builtin, []string{`"asn": 65001`, `"remote": "fd00:31::1"`}},
	} {
		s, err := example().Setup(c.kind)
		if err != nil {
			t.Fatalf("%s: %v", c.kind, err)
		}
		text := s.Files[len(s.Files)-1].Content
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: the configuration lacks %q:\n%s", c.kind, want, text)
			}
		}
	}
	c := example()
	c.NodeASN = 0
	for kind, want := range map[Kind]string{FRR: "remote-as external", BIRD: "range 172.20.1.0/24 external"} {
		s, err := c.Setup(kind)
		if err != nil || !strings.Contains(s.Files[len(s.Files)-1].Content, want) {
			t.Errorf("%s: any AS of nodes is not %q (%v)", kind, want, err)
		}
	}
}

func TestSetupRefuses(t *testing.T) {
	if _, err := example().Setup("cisco"); err == nil {
		t.Error("an unknown kind is set up")
	}
	c := example()
	c.Dir = "/run/" + strings.Repeat("x", 100)
	for _, kind := range []Kind{FRR, BIRD, Builtin} {
		if _, err := c.Setup(kind); err == nil || !strings.Contains(err.Error(), "longer than 107") {
			t.Errorf("%s: a socket path that the kernel cannot take: %v", kind, err)
		}
	}
}
