package apiserver

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"tombolo.io/tombolo/clustermesh"
)

func importYAML(name, ips string) string {
	return fmt.Sprintf("---\napiVersion: multicluster.x-k8s.io/v1alpha1\nkind: ServiceImport\nmetadata: {name: %s, namespace: shop}\nspec: {type: ClusterSetIP, ports: [], ips: [%s]}\n", name, ips)
}

// imported writes an import that is stored: its addresses, ports and clusters.
func (r *rig) imported(name string) string {
	r.Helper()
	key := "private/imports/shop/" + name
	value, ok := r.have[key]
	if !ok {
		return "none"
	}
	o, err := clustermesh.DecodeAt(clustermesh.Root+key, value)
	if err != nil {
		r.Fatal(err)
	}
	i := o.(*clustermesh.ServiceImport)
	var ports []string
	for _, p := range i.Service.Ports {
		ports = append(ports, fmt.Sprint(p.Port))
	}
	return fmt.Sprintf("%v %s of %s, %v, %d slots", i.Service.ClusterIPs, strings.Join(ports, "+"), strings.Join(i.Clusters, "+"), i.Service.Affinity, i.Service.TableSize)
}

// What clusters offer is stored for the nodes once it has an address here, and stays
// while it is not known whether it is still offered.
func TestImports(t *testing.T) {
	east, west := newMember(t, "east", 1), newMember(t, "west", 2)
	is := func(what, want string) {
		t.Helper()
		east.until(what, func() bool { return east.imported("web") == want })
	}
	west.write("web.yaml", westYAML("web", 2)+exportYAML("web", ""))
	east.write("peer.yaml", west.peerOf())
	east.until("it is mirrored", func() bool { return east.have["mirror/west/exports/shop/web"] != nil })
	east.well(east.server)
	is("nobody gives it an address", "none")
	east.write("import.yaml", importYAML("web", `10.96.9.9`))
	is("it has one", "[10.96.9.9] 80 of west, none, 251 slots")
	east.write("import.yaml", importYAML("web", `10.96.9.9, "fd00:96::9"`))
	is("and another", "[10.96.9.9 fd00:96::9] 80 of west, none, 251 slots")
	east.write("web.yaml", serviceYAML("web", "tombolo.io/affinity: local", 1))
	is("our own service wishes something for its clients", "[10.96.9.9 fd00:96::9] 80 of west, local, 251 slots")
	east.write("web.yaml", serviceYAML("web", "tombolo.io/affinity: local", 1)+exportYAML("web", ""))
	is("ours is offered too", "[10.96.9.9 fd00:96::9] 80 of east+west, local, 509 slots")
	east.write("web.yaml", "")
	is("and is not", "[10.96.9.9 fd00:96::9] 80 of west, none, 509 slots")
	if m := east.marker("private/imports"); m.Count != 1 && m.Count != 0 {
		t.Errorf("the marker says %+v", m)
	}

	east.write("taken.yaml", "---\napiVersion: v1\nkind: Service\nmetadata: {name: mail, namespace: shop}\nspec: {clusterIPs: [10.96.9.9], ports: [{name: http, port: 80}]}\n")
	is("a Service has one of its addresses", "[fd00:96::9] 80 of west, none, 509 slots")
	east.degraded(east.server, "10.96.9.9 is the address of Service shop/mail")
	east.remove("taken.yaml")
	is("and is gone", "[10.96.9.9 fd00:96::9] 80 of west, none, 509 slots")

	west.server.stop()
	east.degraded(east.server, "the mirror of west is Stale")
	east.server.stop()
	east.server = east.serve("n1")
	east.degraded(east.server, "the mirror of west is Stale")
	is("a new leader knows no better", "[10.96.9.9 fd00:96::9] 80 of west, none, 509 slots")

	east.server.stop()
	if err := os.RemoveAll(east.config.Store.Dir); err != nil {
		t.Fatal(err)
	}
	epoch := string(east.have["epoch"])
	east.server = east.serve("n1")
	east.until("its store was lost", func() bool { return string(east.have["epoch"]) != epoch && len(east.have["epoch"]) > 0 })
	east.until("all else is vouched for", func() bool { return east.marker("private/peers").Epoch == string(east.have["epoch"]) })
	if m := east.marker("private/imports"); m.Epoch == string(east.have["epoch"]) {
		t.Errorf("imports are vouched for, though west was not heard: %+v", m)
	}
	west.server = west.serve("n1")
	is("west is heard again", "[10.96.9.9 fd00:96::9] 80 of west, none, 251 slots")
	east.until("and then they are", func() bool { return east.marker("private/imports").Epoch == string(east.have["epoch"]) })
	east.well(east.server)

	west.write("web.yaml", westYAML("web", 2))
	is("it is offered no longer", "none")
	west.write("web.yaml", westYAML("web", 2)+exportYAML("web", ""))
	is("and again", "[10.96.9.9 fd00:96::9] 80 of west, none, 251 slots")
	east.remove("peer.yaml")
	is("the peer goes", "none")
}

// While nobody knows whether a cluster still offers what it did, an import keeps what
// it is, but no address that is not its own any more.
func TestImportOfUnknown(t *testing.T) {
	east := newMember(t, "east", 1)
	is := func(what, want string) {
		t.Helper()
		east.until(what, func() bool { return east.imported("web") == want })
	}
	east.write("web.yaml", serviceYAML("web", "", 1)+exportYAML("web", ""))
	east.write("import.yaml", importYAML("web", "10.96.9.9"))
	is("it is offered", "[10.96.9.9] 80 of east, none, 251 slots")
	east.server.stop()
	east.write("web.yaml", serviceYAML("web", "", 1)+exportYAML("web", "exportedLabels: 5"))
	east.server = east.serve("n1")
	east.degraded(east.server, "ServiceExport")
	is("the export cannot be read", "[10.96.9.9] 80 of east, none, 251 slots")
	east.write("import.yaml", importYAML("web", "10.96.9.10"))
	is("it has another address", "[10.96.9.10] 80 of east, none, 251 slots")
	east.write("import.yaml", "")
	is("it has none", "none")
}

// Imports that were found to have no address any more, by comparing everything, are
// many at once: that waits, as it does for all that is stored.
func TestImportsShrink(t *testing.T) {
	east, west := newMember(t, "east", 1), newMember(t, "west", 2)
	const many = 24
	var offers, imports strings.Builder
	for i := range many {
		offers.WriteString(westYAML(fmt.Sprint("web", i), 1) + exportYAML(fmt.Sprint("web", i), ""))
		imports.WriteString(importYAML(fmt.Sprint("web", i), fmt.Sprintf("10.96.9.%d", i)))
	}
	count := func() (n int) {
		for key := range east.have {
			if strings.HasPrefix(key, "private/imports/") {
				n++
			}
		}
		return n
	}
	west.write("web.yaml", offers.String())
	east.write("peer.yaml", west.peerOf())
	east.write("import.yaml", imports.String())
	east.until("all are there", func() bool { return count() == many })
	east.well(east.server)
	east.server.stop()
	east.write("import.yaml", importYAML("web0", "10.96.9.0"))
	east.server = east.serve("n1")
	east.degraded(east.server, "more than half of")
	if n := count(); n != many {
		t.Errorf("%d imports are left", n)
	}
	east.server.stop()
	east.server = east.serve("n1", func(c *Config) { c.Shrink.Allow = true })
	east.until("they go when that is allowed", func() bool { return count() == 1 })
	east.well(east.server)
}
