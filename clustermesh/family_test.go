package clustermesh

import (
	"encoding/json"
	"net/netip"
	"testing"
)

// What a verdict says of families is written for people, read back, and left out when
// there is nothing.
func TestFamilies(t *testing.T) {
	for f, want := range map[Families]string{
		0: `{}`, IPv4: `{"addressDown":"IPv4"}`, IPv6: `{"addressDown":"IPv6"}`, AllFamilies: `{"addressDown":"IPv4 and IPv6"}`,
	} {
		type some struct {
			AddressDown Families `json:"addressDown,omitempty"`
		}
		raw, err := json.Marshal(some{f})
		if err != nil || string(raw) != want {
			t.Errorf("%v is written as %s, %v", f, raw, err)
		}
		var got some
		if err := json.Unmarshal(raw, &got); err != nil || got.AddressDown != f {
			t.Errorf("%s is read as %v, %v", raw, got.AddressDown, err)
		}
	}
	var f Families
	if err := f.UnmarshalText([]byte("IPv5")); err == nil {
		t.Error("IPv5 is read")
	}
	for address, want := range map[string]Families{"10.0.0.1": IPv4, "fd00::1": IPv6} {
		if got := FamilyOf(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is %v", address, got)
		}
	}
}
