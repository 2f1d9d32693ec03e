package bgp

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

func TestChangeOf(t *testing.T) {
	old := clustermesh.BGPPeer{
		Name: "tor", Address: netip.MustParseAddr("10.0.0.254"), Port: 179, ASN: 64512, LocalASN: 64513,
		HoldTime: 9 * time.Second, Keepalive: 3 * time.Second, ConnectRetry: time.Second, RestartTime: time.Minute,
	}
	rows := map[string]struct {
		edit func(*clustermesh.BGPPeer)
		want change
	}{
		"Name":         {func(p *clustermesh.BGPPeer) { p.Name = "x" }, nothing},
		"Address":      {func(p *clustermesh.BGPPeer) { p.Address = netip.MustParseAddr("10.0.0.253") }, reconnect},
		"Port":         {func(p *clustermesh.BGPPeer) { p.Port = 1179 }, reconnect},
		"ASN":          {func(p *clustermesh.BGPPeer) { p.ASN = 1 }, reconnect},
		"LocalASN":     {func(p *clustermesh.BGPPeer) { p.LocalASN = 1 }, restart},
		"Interface":    {func(p *clustermesh.BGPPeer) { p.Interface = "eth0" }, reconnect},
		"HoldTime":     {func(p *clustermesh.BGPPeer) { p.HoldTime = time.Minute }, reconnect},
		"Keepalive":    {func(p *clustermesh.BGPPeer) { p.Keepalive = time.Second }, reconnect},
		"ConnectRetry": {func(p *clustermesh.BGPPeer) { p.ConnectRetry = time.Minute }, reconnect},
		"RestartTime":  {func(p *clustermesh.BGPPeer) { p.RestartTime = time.Second }, reconnect},
		"PasswordFile": {func(p *clustermesh.BGPPeer) { p.PasswordFile = "/etc/key" }, reconnect},
		"Multihop":     {func(p *clustermesh.BGPPeer) { p.Multihop = 2 }, reconnect},
		"NodeSelector": {func(p *clustermesh.BGPPeer) { p.NodeSelector.MatchLabels = map[string]string{"a": "b"} }, nothing},
		"Families":     {func(p *clustermesh.BGPPeer) { p.Families = []clustermesh.Family{clustermesh.IPv4Unicast} }, restart},
	}
	for name, row := range rows {
		edited := old
		row.edit(&edited)
		if got := changeOf(&old, &edited); got != row.want {
			t.Errorf("%s: %v, want %v", name, got, row.want)
		}
	}
	for i := range reflect.TypeFor[clustermesh.BGPPeer]().NumField() {
		if f := reflect.TypeFor[clustermesh.BGPPeer]().Field(i).Name; rows[f].edit == nil {
			t.Errorf("no row for the field %s: decide what its change asks for", f)
		}
	}

	both := old
	both.Families = []clustermesh.Family{clustermesh.IPv6Unicast, clustermesh.IPv4Unicast}
	if got := changeOf(&old, &both); got != nothing {
		t.Errorf("naming the default families: %v, want nothing", got)
	}
}
