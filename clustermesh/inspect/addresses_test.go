package inspect_test

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/inspect"
	"tombolo.io/tombolo/clustermesh/ipam"
	"tombolo.io/tombolo/internal/etcdtest"
)

func TestPoolsAndAddresses(t *testing.T) {
	c := etcdtest.New(t).Dial()
	at := time.Unix(1700000000, 0).UTC()
	ip := netip.MustParseAddr
	web, api := clustermesh.ServiceName{Namespace: "shop", Name: "web"}, clustermesh.ServiceName{Namespace: "shop", Name: "api"}
	claim := func(n clustermesh.ServiceName, since int, holds bool) clustermesh.AddressClaim {
		return clustermesh.AddressClaim{Service: n, Since: at.Add(time.Duration(since) * time.Second), Holds: holds, Named: true}
	}
	put(t, c, clustermesh.Export, "", &clustermesh.Cluster{Name: "east", ID: 1})
	put(t, c, clustermesh.Private, "", &clustermesh.Pool{Name: "a", Created: at, AutoAssign: true, AvoidBuggy: true,
		Ranges: []clustermesh.AddrRange{clustermesh.Range(netip.MustParsePrefix("192.0.2.0/24")), clustermesh.Range(netip.MustParsePrefix("fd00::/56"))}})
	put(t, c, clustermesh.Private, "", &clustermesh.Pool{Name: "b", Created: at.Add(time.Second), Scope: clustermesh.PoolMesh,
		ServiceSelector: clustermesh.Selector{MatchLabels: map[string]string{"a": "b"}},
		Ranges:          []clustermesh.AddrRange{{First: ip("192.0.2.9"), Last: ip("192.0.2.9")}}})
	put(t, c, clustermesh.Private, "", &clustermesh.Address{Address: ip("192.0.2.10"), Pool: "a", Released: at, Last: web})
	put(t, c, clustermesh.Private, "", &clustermesh.Address{Address: ip("192.0.2.9"), Pool: "a", Claims: []clustermesh.AddressClaim{claim(web, 1, true), claim(api, 2, false)}})
	put(t, c, clustermesh.Mirror, "west", &clustermesh.Address{Address: ip("192.0.2.9"), Pool: "b", Claims: []clustermesh.AddressClaim{claim(api, 0, true)}})

	pools, err := inspect.Pools(t.Context(), c)
	wantPools := []inspect.Pool{
		{PoolState: ipam.PoolState{Name: "a", IPv4: 254, IPv6: 1<<64 - 1, Used: 2}, Scope: "cluster", AutoAssign: true, AvoidBuggy: true,
			Ranges: []string{"192.0.2.0-192.0.2.255", "fd00::-fd00::ff:ffff:ffff:ffff:ffff"}},
		{PoolState: ipam.PoolState{Name: "b", IPv4: 1, Conflict: "a"}, Scope: "mesh", Selects: true, Ranges: []string{"192.0.2.9-192.0.2.9"}},
	}
	if err != nil || !reflect.DeepEqual(pools, wantPools) {
		t.Errorf("%v\n got %+v\nwant %+v", err, pools, wantPools)
	}
	addresses, err := inspect.Addresses(t.Context(), c)
	wantAddresses := []inspect.Address{
		{Address: ip("192.0.2.9"), Pool: "b", Cluster: "west", Service: "shop/api", State: "Held", Named: true, Since: at},
		{Address: ip("192.0.2.9"), Pool: "a", Cluster: "east", Service: "shop/web", State: "Held", Named: true, Since: at.Add(time.Second)},
		{Address: ip("192.0.2.9"), Pool: "a", Cluster: "east", Service: "shop/api", State: "Refused", Named: true, Since: at.Add(2 * time.Second)},
		{Address: ip("192.0.2.10"), Pool: "a", Cluster: "east", Service: "shop/web", State: "Resting", Since: at},
	}
	if err != nil || !reflect.DeepEqual(addresses, wantAddresses) {
		t.Errorf("%v\n got %+v\nwant %+v", err, addresses, wantAddresses)
	}
}
