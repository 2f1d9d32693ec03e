package kubernetes

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/mcs-api/config/crd"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/apiserver"
	"tombolo.io/tombolo/clustermesh/source/manifests"
	"tombolo.io/tombolo/internal/etcdtest"
)

// plain is another cluster, which has no Kubernetes: its objects are files.
type plain struct {
	*rig
	dir, peer string
}

// plain starts a cluster of this name and number.
func (r *rig) plain(name string, id uint16) *plain {
	r.Helper()
	ca, listen := etcdtest.NewCA(r), "https://"+etcdtest.Address(r)
	cfg := apiserver.Config{
		Cluster: clustermesh.Cluster{
			Name: name, ID: id,
			PodCIDRs:  []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", id))},
			NodeCIDRs: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("192.168.%d.0/24", id))},
		},
		Node:  name,
		Store: apiserver.Store{Dir: r.TempDir(), Listen: []string{listen}, ServerTLS: ca.Issue("server"), ClientTLS: ca.Issue("root")},
	}
	if err := cfg.Validate(); err != nil {
		r.Fatal(err)
	}
	p := &plain{rig: r, dir: r.TempDir()}
	s := apiserver.New(cfg, manifests.New(manifests.Config{Dir: p.dir}, etcdtest.Log()), etcdtest.Log().With("cluster", name))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	r.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			r.Error(err)
		}
	})
	f := ca.Issue("peer")
	p.peer = fmt.Sprintf("apiVersion: tombolo.io/v1alpha1\nkind: ClusterPeer\nmetadata: {name: %s}\nspec: {endpoints: [%q], tls: {caFile: %s, certFile: %s, keyFile: %s}}\n",
		name, listen, f.CA, f.Cert, f.Key)
	return p
}

// write replaces a file of the cluster's objects.
func (p *plain) write(name, text string) {
	p.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path+".tmp", []byte(text), 0o644); err != nil {
		p.Fatal(err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		p.Fatal(err)
	}
}

func exportYAML(namespace, name string) string {
	return fmt.Sprintf("---\napiVersion: multicluster.x-k8s.io/v1beta1\nkind: ServiceExport\nmetadata: {name: %s, namespace: %s}\n", name, namespace)
}

// exported is a Service with one named port, a slice and a ServiceExport.
func exported(namespace, name string, port int, address string) string {
	return fmt.Sprintf(`---
apiVersion: v1
kind: Service
metadata: {name: %[2]s, namespace: %[1]s}
spec: {ports: [{name: http, port: %[3]d}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[2]s-1, namespace: %[1]s, labels: {kubernetes.io/service-name: %[2]s}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [%[4]s]}]
`, namespace, name, port, address) + exportYAML(namespace, name)
}

// multicluster is what KEP-1645 says of ServiceExports and ServiceImports, seen by
// kubectl in a cluster whose only peer has no Kubernetes.
func multicluster(r *rig, s *server, all []string) {
	crds := r.TempDir()
	for name, text := range map[string][]byte{"exports.yaml": crd.ServiceExportCRD, "imports.yaml": crd.ServiceImportCRD} {
		if err := os.WriteFile(filepath.Join(crds, name), text, 0o644); err != nil {
			r.Fatal(err)
		}
	}
	r.kube.Kubectl("", "apply", "--server-side", "-f", crds)
	r.kube.Kubectl("", "wait", "--for=condition=Established", "--timeout=30s", "-f", crds)
	west := r.plain("west", 2)
	r.apply(west.peer)

	get := func(what, path string) string {
		out, err := r.kube.TryKubectl("", "-n", "shop", "get", what, "-o", "jsonpath={"+path+"}")
		if err != nil {
			return "not found"
		}
		return out
	}
	is := func(why, what, path, want string) {
		r.Helper()
		r.until(fmt.Sprintf("%s: %s %s is %q", why, what, path, want), func() bool { return get(what, path) == want })
	}
	condition := func(typ string) string { return fmt.Sprintf(`.status.conditions[?(@.type=="%s")].reason`, typ) }

	west.write("mail.yaml", exported("shop", "mail", 25, "10.2.0.1"))
	is("a cluster that does not define it imports it", "serviceimport/mail", ".status.clusters[*].cluster", "west")
	is("it can be used", "serviceimport/mail", condition("Ready"), "Ready")
	r.until("it has an address", func() bool {
		a, err := netip.ParseAddr(get("serviceimport/mail", ".spec.ips[0]"))
		return err == nil && netip.MustParsePrefix("10.96.0.0/16").Contains(a)
	})
	slicesOf := func(name, path string) string {
		return r.kube.Kubectl("", "-n", "shop", "get", "endpointslices", "-l", "multicluster.kubernetes.io/service-name="+name, "-o", "jsonpath={"+path+"}")
	}
	r.until("and west's endpoints", func() bool { return slicesOf("mail", ".items[*].endpoints[*].addresses[0]") == "10.2.0.1" })
	west.write("mail.yaml", exported("shop", "mail", 25, "10.2.0.9"))
	r.until("as they change", func() bool { return slicesOf("mail", ".items[*].endpoints[*].addresses[0]") == "10.2.0.9" })

	r.apply(exported("shop", "echo", 80, "10.1.0.7"))
	is("ours is imported too", "serviceimport/echo", ".status.clusters[*].cluster", "east")
	is("it is valid", "serviceexport/echo", condition("Valid"), "Valid")
	is("told", "serviceexport/echo", condition("Ready"), "Ready")
	is("and alone", "serviceexport/echo", condition("Conflict"), "NoConflicts")
	west.write("echo.yaml", exported("shop", "echo", 81, "10.2.0.7")) // without a time: younger
	is("both export it", "serviceimport/echo", ".status.clusters[*].cluster", "east west")
	is("they differ", "serviceexport/echo", condition("Conflict"), "PortConflict")
	is("the oldest holds", "serviceimport/echo", ".spec.ports[*].port", "80")
	west.write("echo.yaml", strings.ReplaceAll(exported("shop", "echo", 81, "10.2.0.7"), "name: http", "name: stcp"))
	is("ports are joined", "serviceimport/echo", ".spec.ports[*].port", "80 81")

	r.apply(exportYAML("shop", "none"))
	is("there is no such service", "serviceexport/none", condition("Valid"), "NoService")
	r.apply("apiVersion: v1\nkind: Service\nmetadata: {name: none, namespace: shop}\nspec: {type: ExternalName, externalName: example.com}\n")
	is("it is none that can be exported", "serviceexport/none", condition("Valid"), "InvalidServiceType")
	is("and not imported", "serviceimport/none", ".spec", "not found")
	r.kube.Kubectl("", "-n", "shop", "delete", "serviceexport/none", "service/none")

	west.write("later.yaml", exported("later", "web", 80, "10.2.0.8"))
	west.write("mail.yaml", "")
	is("un-exported, it goes", "serviceimport/mail", ".spec", "not found")
	r.until("with all of it", func() bool {
		return r.kube.Kubectl("", "-n", "shop", "get", "services,endpointslices", "-l", "multicluster.kubernetes.io/service-name=mail", "-o", "name") == ""
	})
	r.kube.Kubectl("", "create", "namespace", "later")
	r.until("a namespace that comes later has its imports", func() bool {
		out, err := r.kube.TryKubectl("", "-n", "later", "get", "serviceimport/web", "-o", "jsonpath={.status.clusters[*].cluster}")
		return err == nil && out == "west"
	})
	r.kube.Kubectl("", "delete", "namespace", "later", "--timeout=120s")

	r.kube.Kubectl("", "delete", "clusterpeer", "west")
	is("a peer that is none any more exports nothing", "serviceimport/echo", ".status.clusters[*].cluster", "east")
	r.kube.Kubectl("", "-n", "shop", "delete", "serviceexport/echo")
	is("and then nobody does", "serviceimport/echo", ".spec", "not found")
	r.until("nothing is left of it", func() bool {
		return r.kube.Kubectl("", "get", "serviceimports,services,endpointslices", "-A", "-l", "tombolo.io/imported=true", "-o", "name") == ""
	})
	r.kube.Kubectl("", "-n", "shop", "delete", "service/echo", "endpointslice/echo-1")
	r.wants("nor of what we wrote is anything taken for the cluster's own", all...)
	r.well(s)
}
