package global

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tombolo.io/tombolo/clustermesh"
)

func TestMerge(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"all alike without affinity",
			"east: 10.1.0.2, 10.1.0.1; west: 10.2.0.1",
			`172.20.0.1:80: east/10.1.0.1:8080 east/10.1.0.2:8080 west/10.2.0.1:8080
			 east 2/0/0
			 west 1/0/0`},
		{"SCTP is not balanced, and takes no other port along",
			"east ports=http/TCP/80,sig/SCTP/9: 10.1.0.1",
			`172.20.0.1:80: east/10.1.0.1:8080
			 east 1/0/0`},
		{"nor is a service of it alone",
			"east ports=sig/SCTP/9: 10.1.0.1",
			`none: has only SCTP ports, which are not balanced
			 east 1/0/0`},
		{"affinity local keeps the others back",
			"west: 10.2.0.1; east local: 10.1.0.1",
			`172.20.0.1:80: east/10.1.0.1:8080 | west/10.2.0.1:8080
			 east 1/0/0
			 west 1/0/0`},
		{"affinity local falls back",
			"east local: 10.1.0.1 unready; west: 10.2.0.1",
			`172.20.0.1:80: west/10.2.0.1:8080
			 east 0/0/1 (no ready endpoint)
			 west 1/0/0`},
		{"affinity remote",
			"east remote: 10.1.0.1; west: 10.2.0.1",
			`172.20.0.1:80: west/10.2.0.1:8080 | east/10.1.0.1:8080
			 east 1/0/0
			 west 1/0/0`},
		{"affinity remote falls back",
			"east remote: 10.1.0.1; west: 10.2.0.1 gone",
			`172.20.0.1:80: east/10.1.0.1:8080
			 east 1/0/0
			 west 0/0/1 (no ready endpoint)`},
		{"another cluster's affinity does not bind",
			"east: 10.1.0.1; west local: 10.2.0.1",
			`172.20.0.1:80: east/10.1.0.1:8080 west/10.2.0.1:8080
			 east 1/0/0
			 west 1/0/0`},
		{"priority orders clusters, the third waits",
			"east prio=2: 10.1.0.1; west prio=1: 10.2.0.1; north: 10.3.0.1",
			`172.20.0.1:80: north/10.3.0.1:8080 | east/10.1.0.1:8080*200000000 west/10.2.0.1:8080*800000000
			 east 1/0/0
			 west 1/0/0
			 north 1/0/0`},
		{"affinity comes before priority",
			"east local prio=9: 10.1.0.1; west prio=1: 10.2.0.1; north prio=2: 10.3.0.1",
			`172.20.0.1:80: east/10.1.0.1:8080 | west/10.2.0.1:8080*800000000 north/10.3.0.1:8080*200000000
			 east 1/0/0
			 west 1/0/0
			 north 1/0/0`},
		{"weight is each endpoint's share, none at zero",
			"east weight=50: 10.1.0.1, 10.1.0.2; west weight=0: 10.2.0.1",
			`172.20.0.1:80: east/10.1.0.1:8080*50 east/10.1.0.2:8080*50
			 east 2/0/0
			 west 1/0/0 (weight 0)`},
		{"one that ends is no backend beside a ready one of any cluster",
			"east local: 10.1.0.1 ending; west: 10.2.0.1",
			`172.20.0.1:80: west/10.2.0.1:8080
			 east 0/1/0
			 west 1/0/0`},
		{"one that ends is the last resort",
			"east local: 10.1.0.1 ending, 10.1.0.2 unready; west: 10.2.0.1 gone, 10.2.0.2 ending",
			`172.20.0.1:80: east/10.1.0.1:8080! | west/10.2.0.2:8080!
			 east 0/1/1
			 west 0/1/1`},
		{"published before ready, where its own cluster says so",
			"east publish: 10.1.0.1 unready, 10.1.0.2 gone; west: 10.2.0.1 unready",
			`172.20.0.1:80: east/10.1.0.1:8080
			 east 1/0/1
			 west 0/0/1 (no ready endpoint)`},
		{"a service not defined here has no address",
			"west: 10.2.0.1",
			`none: not defined in this cluster
			 west 1/0/0 (not global in this cluster)`},
		{"slices without a definition here",
			"east undefined: 10.1.0.1; west: 10.2.0.1",
			`none: not defined in this cluster
			 east 1/0/0 (no definition there)
			 west 1/0/0 (not global in this cluster)`},
		{"slices without a definition there",
			"east: 10.1.0.1; west undefined: 10.2.0.1",
			`172.20.0.1:80: east/10.1.0.1:8080
			 east 1/0/0
			 west 1/0/0 (no definition there)`},
		{"neither global nor a load balancer",
			"east plain: 10.1.0.1; west: 10.2.0.1",
			`none: neither global nor of type LoadBalancer
			 east 1/0/0
			 west 1/0/0 (not global in this cluster)`},
		{"every one, where there is no kube-proxy",
			"east plain nodeport=30080: 10.1.0.1; west: 10.2.0.1; every: yes; nodeports: 10.1.200.1",
			`172.20.0.1:80:10.1.200.1:30080:external: east/10.1.0.1:8080
			 east 1/0/0
			 west 1/0/0 (not global in this cluster)`},
		{"but those for another proxy, as kube-proxy leaves them",
			"east plain proxied: 10.1.0.1; every: yes",
			`none: labelled for another proxy: service.kubernetes.io/service-proxy-name
			 east 1/0/0`},
		{"and those whose clients dial their endpoints",
			"east plain headless: 10.1.0.1; every: yes",
			`none: neither global nor of type LoadBalancer
			 east 1/0/0`},
		{"a global one for another proxy",
			"east proxied: 10.1.0.1; every: yes",
			`172.20.0.1:80: east/10.1.0.1:8080
			 east 1/0/0`},
		{"a load balancer that is not global has its own endpoints",
			"east plain lb weight=0: 10.1.0.1; west: 10.2.0.1",
			`172.20.0.1:80:192.0.2.1:80:external: east/10.1.0.1:8080*1
			 east 1/0/0
			 west 1/0/0 (not global in this cluster)`},
		{"global here, not there, and not shared",
			"east unshared: 10.1.0.1; west plain: 10.2.0.1; north unshared: 10.3.0.1",
			`172.20.0.1:80: east/10.1.0.1:8080
			 east 1/0/0
			 west 1/0/0 (not global there)
			 north 1/0/0 (not shared)`},
		{"an external name is nobody's to serve",
			"east external: 10.1.0.1",
			`none: of type ExternalName
			 east 1/0/0`},
		{"headless",
			"east headless: 10.1.0.1",
			`none: has no address
			 east 1/0/0`},
		{"no endpoint at all",
			"east: ; west: ",
			`172.20.0.1:80: -
			 east 0/0/0 (no endpoint)
			 west 0/0/0 (no endpoint)`},
		{"families apart",
			"east dual local: 10.1.0.1 | fd01::1 unready; west: 10.2.0.1 | fd02::1",
			`172.20.0.1:80: east/10.1.0.1:8080 | west/10.2.0.1:8080
			 [fd20::1]:80: west/[fd02::1]:8080
			 east 1/0/1
			 west 2/0/0`},
		{"a family without a frontend is left out",
			"east: 10.1.0.1 | fd01::1",
			`172.20.0.1:80: east/10.1.0.1:8080
			 east 2/0/0`},
		{"ports by name and protocol, whatever their number",
			"east ports=web/TCP/80,dns/UDP/53: 10.1.0.1; west ports=dns/UDP/5353,web/TCP/8000: [web/TCP/9000 dns/UDP/54] 10.2.0.1",
			`172.20.0.1:80: east/10.1.0.1:8080 west/10.2.0.1:9000
			 172.20.0.1:53: east/10.1.0.1:8080 west/10.2.0.1:54
			 east 1/0/0
			 west 1/0/0`},
		{"a name with another protocol is another port",
			"east: 10.1.0.1; west ports=http/UDP/80: 10.2.0.1",
			`172.20.0.1:80: east/10.1.0.1:8080
			 east 1/0/0
			 west 1/0/0 (no port in common)`},
		{"other names do not match, whatever the number",
			"east: 10.1.0.1; west ports=web/TCP/80: 10.2.0.1",
			`172.20.0.1:80: east/10.1.0.1:8080
			 east 1/0/0
			 west 1/0/0 (no port in common)`},
		{"an unnamed port here, by number",
			"east ports=/TCP/80: 10.1.0.1; west ports=metrics/TCP/9090,web/TCP/80: [metrics/TCP/9091 web/TCP/9000] 10.2.0.1",
			`172.20.0.1:80: east/10.1.0.1:8080 west/10.2.0.1:9000
			 east 1/0/0
			 west 1/0/0`},
		{"an unnamed port there, by number",
			"east ports=metrics/TCP/9090,web/TCP/80: 10.1.0.1; west ports=/TCP/80: [/TCP/9000] 10.2.0.1",
			`172.20.0.1:9090: east/10.1.0.1:8080
			 172.20.0.1:80: east/10.1.0.1:8080 west/10.2.0.1:9000
			 east 1/0/0
			 west 1/0/0`},
		{"two single ports, one unnamed, whatever the number",
			"east ports=/TCP/80: 10.1.0.1; west ports=web/TCP/8000: [web/TCP/9000] 10.2.0.1",
			`172.20.0.1:80: east/10.1.0.1:8080 west/10.2.0.1:9000
			 east 1/0/0
			 west 1/0/0`},
		{"an unnamed port among several is none by number alone",
			"east ports=/TCP/80: 10.1.0.1; west ports=a/TCP/8000,b/TCP/8001: 10.2.0.1",
			`172.20.0.1:80: east/10.1.0.1:8080
			 east 1/0/0
			 west 1/0/0 (no port in common)`},
		{"a slice without the port",
			"east ports=web/TCP/80,dns/UDP/53: [web/TCP/8080] 10.1.0.1 | [dns/UDP/53] 10.1.0.2",
			`172.20.0.1:80: east/10.1.0.1:8080
			 172.20.0.1:53: east/10.1.0.2:53
			 east 2/0/0`},
		{"named in two slices, the ready one counts",
			"east: 10.1.0.1@a unready, 10.1.0.2 ending | 10.1.0.1@b, 10.1.0.2",
			`172.20.0.1:80: east/10.1.0.1:8080 east/10.1.0.2:8080
			 east 2/0/0`},
		{"one address on two ports is two backends",
			"east: [http/TCP/8080] 10.1.0.1 | [http/TCP/8081] 10.1.0.1",
			`172.20.0.1:80: east/10.1.0.1:8080 east/10.1.0.1:8081
			 east 1/0/0`},
		{"an address of ours is nobody else's",
			"west created=1: 10.1.0.1, 10.2.0.1; east created=9: 10.1.0.1 unready",
			`172.20.0.1:80: west/10.2.0.1:8080
			 east 0/0/1 (no ready endpoint)
			 west 2/0/0
			 10.1.0.1 of west is east's`},
		{"of two others the older service keeps an address",
			"east: 10.1.0.1; west created=9: 10.3.0.1 | 10.3.0.1; north created=5: 10.3.0.1",
			`172.20.0.1:80: east/10.1.0.1:8080 north/10.3.0.1:8080
			 east 1/0/0
			 west 1/0/0 (another cluster has its addresses)
			 north 1/0/0
			 10.3.0.1 of west is north's`},
		{"of two as old the lower id",
			"east: 10.1.0.1; north created=5: 10.3.0.1; west created=5: 10.3.0.1",
			`172.20.0.1:80: east/10.1.0.1:8080 west/10.3.0.1:8080
			 east 1/0/0
			 west 1/0/0
			 north 1/0/0 (another cluster has its addresses)
			 10.3.0.1 of north is west's`},
		{"who takes no part claims nothing",
			"east: 10.1.0.1; west unshared created=1: 10.3.0.1; north created=5: 10.3.0.1",
			`172.20.0.1:80: east/10.1.0.1:8080 north/10.3.0.1:8080
			 east 1/0/0
			 west 1/0/0 (not shared)
			 north 1/0/0`},
		{"node ports are at the addresses of the node that looks",
			"east dual ports=web/TCP/80,dns/UDP/53 nodeport=30080: 10.1.0.1 | fd01::1; west nodeport=31000: 10.2.0.1; nodeports: 10.1.200.1, 10.1.200.2, fd01:200::1",
			`172.20.0.1:80:10.1.200.1:30080:external:10.1.200.2:30080:external: east/10.1.0.1:8080
			 [fd20::1]:80:[fd01:200::1]:30080:external: east/[fd01::1]:8080
			 172.20.0.1:53:10.1.200.1:30081:external:10.1.200.2:30081:external: east/10.1.0.1:8080
			 [fd20::1]:53:[fd01:200::1]:30081:external: east/[fd01::1]:8080
			 east 2/0/0
			 west 1/0/0 (no port in common)`},
		{"of the families of the cluster IPs alone, and of services that are taken",
			"east nodeport=30080: 10.1.0.1 | fd01::1; nodeports: 10.1.200.1, fd01:200::1",
			`172.20.0.1:80:10.1.200.1:30080:external: east/10.1.0.1:8080
			 east 2/0/0`},
		{"nobody serves those of a service that is not taken",
			"east plain nodeport=30080: 10.1.0.1; nodeports: 10.1.200.1",
			`none: neither global nor of type LoadBalancer
			 east 1/0/0`},
		{"what clients inside prefer is not for node ports, nor are source ranges",
			"east lb itp from=198.51.100.0/24 nodeport=30080: 10.1.0.1@e1, 10.1.0.2@e2; at: e1/; nodeports: 10.1.200.1",
			`192.0.2.1:80:external: east/10.1.0.1:8080 east/10.1.0.2:8080 from [198.51.100.0/24]
			 172.20.0.1:80: east/10.1.0.1:8080
			 10.1.200.1:30080:external: east/10.1.0.1:8080 east/10.1.0.2:8080
			 east 2/0/0`},
		{"local nodes under an external policy local",
			"east lb etp remote: 10.1.0.1@e2, 10.1.0.2@e1, 10.1.0.3@e1, 10.1.0.4@e3 ending, 10.1.0.5; west: 10.2.0.1@w1",
			`172.20.0.1:80:192.0.2.1:80:external: west/10.2.0.1:8080 | east/10.1.0.1:8080 east/10.1.0.2:8080 east/10.1.0.3:8080 east/10.1.0.5:8080 @e1,e2
			 east 4/1/0
			 west 1/0/0`},
		{"a cluster that is down is left while another lives",
			"east local: 10.1.0.1; west: 10.2.0.1; north: 10.3.0.1; down: east, north",
			`172.20.0.1:80: west/10.2.0.1:8080
			 east 1/0/0 (down by verdict)
			 west 1/0/0
			 north 1/0/0 (down by verdict)`},
		{"all down is none down",
			"east local: 10.1.0.1; west: 10.2.0.1@w1; down: east, west/w1",
			`172.20.0.1:80: east/10.1.0.1:8080 | west/10.2.0.1:8080
			 east 1/0/0
			 west 1/0/0`},
		{"of a node its pods are down, or its own addresses",
			"east: 10.1.0.1@e1, 10.1.200.1@e1, 10.1.0.2@e2, 10.1.200.2@e2, 10.1.0.3; down: east/e1, east/e2!",
			`172.20.0.1:80: east/10.1.0.2:8080 east/10.1.0.3:8080 east/10.1.200.1:8080
			 east 5/0/0`},
		{"down in one family is down in that one",
			"east dual local: 10.1.0.1@e1 | fd01::1@e1; west: 10.2.0.1 | fd02::1; north: 10.3.0.1 | fd03::1; down: east/e1=IPv6, north=IPv4",
			`172.20.0.1:80: east/10.1.0.1:8080 | west/10.2.0.1:8080
			 [fd20::1]:80: west/[fd02::1]:8080 north/[fd03::1]:8080
			 east 2/0/0
			 west 2/0/0
			 north 2/0/0`},
		{"another cluster's node of that name is another",
			"east: 10.1.0.1@n1; west: 10.2.0.1@n1; down: west/n1",
			`172.20.0.1:80: east/10.1.0.1:8080
			 east 1/0/0
			 west 1/0/0 (down by verdict)`},
		{"who is ejected is left while another serves",
			"east: 10.1.0.1, 10.1.0.2; west: 10.2.0.1; ejected: east/10.1.0.1, west/10.2.0.1",
			`172.20.0.1:80: east/10.1.0.2:8080
			 east 2/0/0
			 west 1/0/0 (ejected)`},
		{"only behind the port where it fails, and never UDP",
			"east ports=http/TCP/80,alt/TCP/81,quic/UDP/80: 10.1.0.1, 10.1.0.2; ejected: east/10.1.0.1",
			`172.20.0.1:80: east/10.1.0.2:8080
			 172.20.0.1:81: east/10.1.0.1:8080 east/10.1.0.2:8080
			 172.20.0.1:80: east/10.1.0.1:8080 east/10.1.0.2:8080
			 east 2/0/0`},
		{"when the others are down by verdict, who is ejected is back",
			"east: 10.1.0.1, 10.1.0.2@a; ejected: east/10.1.0.1; down: east/a",
			`172.20.0.1:80: east/10.1.0.1:8080
			 east 2/0/0`},
		{"when all are down, who is ejected is not back",
			"east: 10.1.0.1@a, 10.1.0.2@a; ejected: east/10.1.0.1; down: east/a",
			`172.20.0.1:80: east/10.1.0.2:8080
			 east 2/0/0`},
		{"who ends and lives comes before who is down",
			"east: 10.1.0.1 ending; west: 10.2.0.1; down: west",
			`172.20.0.1:80: east/10.1.0.1:8080!
			 east 0/1/0
			 west 1/0/0 (down by verdict)`},
		{"all down, of whom one is ready",
			"east: 10.1.0.1 ending; west: 10.2.0.1; down: west, east",
			`172.20.0.1:80: west/10.2.0.1:8080
			 east 0/1/0 (down by verdict)
			 west 1/0/0`},
		{"withdrawn is gone, whatever else there is",
			"east: 10.1.0.1 unready; west: 10.2.0.1, 10.2.0.2; withdrawn: west/10.2.0.1; down: west",
			`172.20.0.1:80: west/10.2.0.2:8080
			 east 0/0/1 (no ready endpoint)
			 west 2/0/0`},
		{"drained clusters and nodes take nothing while others serve",
			"east: 10.1.0.1@e1, 10.1.0.2@e2; west: 10.2.0.1; drain: west=1000, east/e2=1000",
			`172.20.0.1:80: east/10.1.0.1:8080
			 east 2/0/0
			 west 1/0/0 (drained)`},
		{"no more than wholly, when its time is over",
			"east: 10.1.0.1@e1, 10.1.0.2@e2; west: 10.2.0.1; drain: west=1001, east/e2=1001",
			`172.20.0.1:80: east/10.1.0.1:8080
			 east 2/0/0
			 west 1/0/0 (drained)`},
		{"a service drained in one cluster",
			"east: 10.1.0.1; west: 10.2.0.1; drain: service@east=1000",
			`172.20.0.1:80: west/10.2.0.1:8080
			 east 1/0/0 (drained)
			 west 1/0/0`},
		{"the drained serve before who ends",
			"east: 10.1.0.1; west: 10.2.0.1 ending; drain: east=1000",
			`172.20.0.1:80: east/10.1.0.1:8080
			 east 1/0/0
			 west 0/1/0`},
		{"and before who is down",
			"east: 10.1.0.1; west: 10.2.0.1; drain: east=1000; down: west",
			`172.20.0.1:80: east/10.1.0.1:8080
			 east 1/0/0
			 west 1/0/0 (down by verdict)`},
		{"coming back step by step, the greatest drain counts",
			"east: 10.1.0.1@e1, 10.1.0.2@e2; west: 10.2.0.1; drain: east/e1=750, east=500, service@east=1",
			`172.20.0.1:80: east/10.1.0.1:8080*25000 east/10.1.0.2:8080*50000 west/10.2.0.1:8080*100000
			 east 2/0/0
			 west 1/0/0`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(lines(c.want), text(Merge(parseInput(t, c.in)))); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", c.in, diff)
			}
		})
	}
}

func TestMergeInternalPolicyLocal(t *testing.T) {
	in := parseInput(t, "east lb itp: 10.1.0.1@e1, 10.1.0.2@e2 ending; west: 10.2.0.1@e1")
	for node, want := range map[string]string{
		"e1": "172.20.0.1:80: east/10.1.0.1:8080\n",
		"e2": "172.20.0.1:80: east/10.1.0.2:8080!\n",
		"e3": "172.20.0.1:80: -\n",
		"":   "172.20.0.1:80: -\n",
	} {
		in.Node = node
		got := Merge(in).Ports
		if len(got) != 2 {
			t.Fatalf("node %q: %d ports, want one for each way to select", node, len(got))
		}
		if text := portText(got[0]); text != want {
			t.Errorf("node %q: got %s want %s", node, text, want)
		}
		outside := "192.0.2.1:80:external: east/10.1.0.1:8080 west/10.2.0.1:8080\n"
		if text := portText(got[1]); text != outside {
			t.Errorf("node %q: got %s want %s", node, text, outside)
		}
	}
}

// Under an external policy Local, and where other nodes send it packets, a node has its
// own endpoints, the best that it has.
func TestMergeHere(t *testing.T) {
	testMergeHere(t, "east lb etp", false)
	testMergeHere(t, "east lb", true)
	in := parseInput(t, "east lb: 10.1.0.1@e1; at: e1/")
	if got := Merge(in).Ports[0].Here; got != nil {
		t.Errorf("for nobody: %s", tierText(got))
	}
}

func testMergeHere(t *testing.T, service string, direct bool) {
	t.Helper()
	in := parseInput(t, service+": 10.1.0.1@e1, 10.1.0.2@e1 ending, 10.1.0.3@e2 ending, 10.1.0.4@e3 unready, 10.1.0.5@e4, 10.1.0.6@e4; "+
		"west: 10.2.0.1@e1; drain: east/e4=1000; ejected: east/10.1.0.5")
	for node, want := range map[string]string{
		"e1": "east/10.1.0.1:8080",
		"e2": "east/10.1.0.3:8080!",
		"e3": "-",
		"e4": "east/10.1.0.6:8080",
		"":   "-",
	} {
		in.Node, in.Direct = node, direct
		p := Merge(in).Ports[0]
		if got := tierText(p.Here); got != want || direct && p.LocalNodes != nil {
			t.Errorf("%s, node %q: got %s, want %s; local nodes %v", service, node, got, want, p.LocalNodes)
		}
	}
}

// What Merge hands out is the caller's: two ports never share memory to append to.
func TestMergeKeepsItsInput(t *testing.T) {
	in := parseInput(t, "east dual local lb: 10.1.0.2, 10.1.0.1 | 10.1.0.2; west: 10.2.0.1")
	before := parseInput(t, "east dual local lb: 10.1.0.2, 10.1.0.1 | 10.1.0.2; west: 10.2.0.1")
	s := Merge(in)
	_ = append(s.Ports[0].Frontends, Frontend{})
	_ = append(s.Ports[0].Primary, Backend{Cluster: "nobody"})
	if diff := cmp.Diff(before, in, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("the input changed:\n%s", diff)
	}
	if diff := cmp.Diff(text(Merge(in)), text(s)); diff != "" {
		t.Errorf("two merges differ:\n%s", diff)
	}
}

// What a merge leaves in the memory that it hands on holds nothing of its input, also
// where its last port has fewer candidates than one before.
func TestMergeLeavesNothingBehind(t *testing.T) {
	in := parseInput(t, "east ports=http/TCP/80,old/TCP/81: 10.1.0.1, 10.1.0.2; west ports=http/TCP/80: 10.2.0.1, 10.2.0.2, 10.2.0.3")
	m := merge{in: &in}
	m.run()
	clear(m.found)
	for i, c := range m.found[:cap(m.found)] {
		if c != (candidate{}) {
			t.Errorf("candidate %d of %d is held: %s/%v", i, cap(m.found), c.Cluster, c.Address)
		}
	}
}

func TestServedBy(t *testing.T) {
	for _, c := range []struct {
		in, node, ip string
		want         bool
	}{
		{"east lb: 10.1.0.1@e1", "e2", "192.0.2.1", true},
		{"east lb: 10.1.0.1@e1", "e2", "192.0.2.2", false},
		{"east lb: 10.1.0.1@e1", "e2", "172.20.0.1", false},
		{"east lb: 10.1.0.1@e1 unready", "e1", "192.0.2.1", false},
		{"east lb: 10.1.0.1@e1 ending", "e1", "192.0.2.1", false},
		{"east lb: fd01::1@e1", "e1", "192.0.2.1", false},
		{"east lb: 10.1.0.1@e1 unready; west: 10.2.0.1", "e1", "192.0.2.1", true},
		{"east lb etp: 10.1.0.1@e1", "e1", "192.0.2.1", true},
		{"east lb etp: 10.1.0.1@e1", "e2", "192.0.2.1", false},
		{"east lb etp: 10.1.0.1@e1 unready; west: 10.2.0.1@e1", "e1", "192.0.2.1", false},
		{"east lb etp prio=3: 10.1.0.1@e1; west prio=2: 10.2.0.1; north: 10.3.0.1", "e1", "192.0.2.1", true},
		{"west lb: 10.2.0.1", "e1", "192.0.2.1", false},
	} {
		if got := Merge(parseInput(t, c.in)).ServedBy(c.node, netip.MustParseAddr(c.ip)); got != c.want {
			t.Errorf("%s: served by %s at %s: %v, want %v", c.in, c.node, c.ip, got, c.want)
		}
	}
}

func TestMergeAgainstObvious(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	withPorts, shared, split := 0, 0, 0
	for i := range 20_000 {
		in := randomInput(r)
		merged := Merge(in)
		want, got := obvious(in), portLines(merged)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("input %d: (-obvious +merge)\n%s", i, diff)
		}
		if len(got) > 0 {
			withPorts++
		}
		for j, p := range merged.Ports {
			if severalTiers(p.Primary) {
				shared++
			}
			if j > 0 && portText(p) != portText(merged.Ports[j-1]) {
				split++
			}
		}
	}
	if withPorts < 5_000 || shared < 300 || split < 5_000 {
		t.Errorf("of the random inputs only %d have ports, %d share load between tiers, %d have ports that differ: they show little", withPorts, shared, split)
	}
}

// severalTiers reports whether a table has several tiers: weights that add up
// to what nothing else adds up to.
func severalTiers(table []Backend) bool {
	sum := 0
	for _, b := range table {
		sum += int(b.Weight)
	}
	return sum > int(full)*sharpness-100
}

// Whose drain has ended is aside as such, while whoever drains is not.
func TestEndedDrain(t *testing.T) {
	s := Merge(parseInput(t, "east: 10.1.0.1; west: 10.2.0.1@a, 10.2.0.2@b; north: 10.3.0.1; drain: west/a=1001, north=1001, west/b=1000, service@north=1000"))
	got := map[string]bool{}
	for _, b := range s.Ports[0].Aside {
		got[b.Address.String()] = b.Ended
	}
	if want := map[string]bool{"10.2.0.1": true, "10.2.0.2": false, "10.3.0.1": true}; !maps.Equal(got, want) {
		t.Errorf("aside, and ended: %v, want %v", got, want)
	}
}

// Packets to addresses of another implementation are left to it, unless the service
// is global.
func TestLed(t *testing.T) {
	const balanced = clustermesh.LoadBalancer
	for _, c := range []struct {
		name string
		s    *clustermesh.Service
		want bool
	}{
		{"nobody", nil, false},
		{"a cluster IP", &clustermesh.Service{}, false},
		{"without a class", &clustermesh.Service{Type: balanced}, true},
		{"of ours", &clustermesh.Service{Type: balanced, LoadBalancerClass: clustermesh.LoadBalancerClass}, true},
		{"of another's", &clustermesh.Service{Type: balanced, LoadBalancerClass: "example.com/metal"}, false},
		{"written by another", &clustermesh.Service{Type: balanced, LoadBalancerOthers: true}, false},
		{"of another's and global", &clustermesh.Service{Type: balanced, LoadBalancerClass: "example.com/metal", Global: true}, true},
		{"written by another and global", &clustermesh.Service{Type: balanced, LoadBalancerOthers: true, Global: true}, true},
	} {
		s := Service{Definition: c.s}
		if got := s.Led(); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
		s.Every = true
		if got, want := s.Led(), c.s != nil; got != want {
			t.Errorf("%s, without kube-proxy: %t, want %t", c.name, got, want)
		}
	}
}
