package kubernetes

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/clustermesh/source/manifests"
	"tombolo.io/tombolo/internal/etcdtest"
)

const peerYAML = `
apiVersion: tombolo.io/v1alpha1
kind: ClusterPeer
metadata: {name: west}
spec:
  endpoints: ["https://172.20.2.1:2379"]
  tls: {caFile: /etc/tombolo/west-ca.crt, certFile: /etc/tombolo/peer.crt, keyFile: /etc/tombolo/peer.key}
---
apiVersion: tombolo.io/v1alpha1
kind: BGPPeer
metadata: {name: tor}
spec: {address: 192.168.1.254, asn: 64512, localASN: 64513, holdTime: 9s, nodeSelector: {matchLabels: {rack: a}}}
---
apiVersion: tombolo.io/v1alpha1
kind: BGPAdvertisement
metadata: {name: pods}
spec: {podCIDRs: true, peers: [tor], communities: ["65000:1"]}
`

// same has the objects of the API written to a directory of manifests: a
// cluster that reads that has the same in its store, to the byte.
func same(r *rig) {
	r.apply(peerYAML + serviceYAML("cart", `tombolo.io/weight: "7", service.cilium.io/shared: "false", service.cilium.io/global: "true"`, "10.1.0.8", "10.1.0.9"))
	r.apply(podYAML)
	r.kube.Kubectl("", "-n", "shop", "patch", "pod", "web-0", "--subresource=status", "--type=merge", "-p",
		`{"status": {"phase": "Running", "podIP": "10.1.0.1", "podIPs": [{"ip": "10.1.0.1"}]}}`)
	wanted := []string{"private/peers/west", "private/bgp/peers/tor", "private/bgp/advertisements/pods", "private/services/shop/cart", "export/endpoints/10.1.0.1"}
	r.until("all is stored", func() bool {
		have := r.keys()
		return !slices.ContainsFunc(wanted, func(k string) bool { return !slices.Contains(have, k) })
	})
	dir := r.TempDir()
	all := r.kube.Kubectl("", "get", "-A", "-o", "yaml", "nodes,namespaces,services,endpointslices,pods,clusterpeers,bgppeers,bgpadvertisements")
	if err := os.WriteFile(filepath.Join(dir, "all.yaml"), []byte(all), 0o600); err != nil {
		r.Fatal(err)
	}
	there := *r
	there.newStore()
	s := there.serveFrom("n0", source.Shrink{}, func(func() bool) (source.Source, error) {
		return manifests.New(manifests.Config{Dir: dir}, etcdtest.Log()), nil
	})
	there.until("the manifests are stored", func() bool { return slices.Equal(there.keys(), r.keys()) })
	if problems := s.Status().Source.Problems; len(problems) > 0 {
		r.Errorf("problems of manifests: %+v", problems)
	}
	compare(r, r.stored(), there.stored())
	s.stop()
	r.kube.Kubectl("", "delete", "clusterpeer/west", "bgppeer/tor", "bgpadvertisement/pods")
	r.kube.Kubectl("", "-n", "shop", "delete", "pod/web-0", "--force", "--grace-period=0")
	r.kube.Kubectl("", "-n", "shop", "delete", "service/cart", "endpointslice/cart-1")
}

// compare compares two stores but for what each gives out by itself.
func compare(r *rig, a, b map[string]string) {
	for k := range maps.Keys(a) {
		if !strings.HasPrefix(k, "export/") && !strings.HasPrefix(k, "private/") || strings.Contains(k, "/synced/") || k == "export/cluster" || k == "export/lease" || k == "private/seal" || k == "private/gossip" || k == "private/origin" {
			continue
		}
		if a[k] != b[k] {
			r.Errorf("%s is not the same:\n%q\n%q", k, a[k], b[k])
		}
	}
}
