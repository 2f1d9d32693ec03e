package helm

import (
	"strings"
	"testing"
)

// Values that are wrong are refused, with words that say where and what.
func TestWrongValues(t *testing.T) {
	for _, c := range []struct{ what, values, want string }{
		{"no name", `cluster: {name: ""}`, "/cluster/name"},
		{"no id", `cluster: {id: 0}`, "'/cluster/id': minimum: got 0, want 1"},
		{"an id that is too large", `cluster: {id: 512}`, "maximum: got 512, want 511"},
		{"no pods' prefixes", `cluster: {podCIDRs: []}`, "'/cluster/podCIDRs': minItems"},
		{"an address for a prefix", `cluster: {nodeCIDRs: [10.0.0.1]}`, "'/cluster/nodeCIDRs/0': '10.0.0.1' does not match pattern"},
		{"a value that there is not", `agent: {replica: 3}`, "'/agent': additional properties 'replica' not allowed"},
		{"two members", `apiserver: {replicas: 2}`, "apiserver.replicas is 2: an embedded etcd has 1 or 3 members"},
		{"many members", `apiserver: {replicas: 5}`, "maximum: got 5, want 3"},
		{"one member without a volume", `apiserver: {replicas: 1, etcd: {storage: {persistent: false}}}`, "every upgrade would lose the store"},
		{"external without endpoints", `apiserver: {etcd: {mode: external}}`, "apiserver.etcd.endpoints is empty"},
		{"external without TLS", `apiserver: {etcd: {mode: external, endpoints: ["http://10.0.0.1:2379"]}}`, "does not match pattern '^https://'"},
		{"endpoints of an embedded etcd", `apiserver: {etcd: {endpoints: ["https://10.0.0.1:2379"]}}`, "is for apiserver.etcd.mode external"},
		{"external with made certificates", `{apiserver: {etcd: {mode: external, endpoints: ["https://10.0.0.1:2379"]}}, certificates: {mode: certManager}}`, "wants certificates.mode existing"},
		{"a mode that there is not", `certificates: {mode: none}`, "value must be one of 'generated', 'certManager', 'existing'"},
		{"a level that there is not", `logs: {level: loud}`, "'/logs/level': value must be one of"},
		{"a duration without a unit", `apiserver: {shrinkHold: "5"}`, "'/apiserver/shrinkHold': '5' does not match pattern"},
		{"a port of two", `agent: {metricsPort: 7947}`, "share the node and must differ"},
		{"a node port of an inner service", `apiserver: {service: {nodePort: 32379}}`, "apiserver.service.nodePort is of no use with type ClusterIP"},
		{"no kube-proxy, and etcd behind a Service", `{agent: {kubeProxyReplacement: true}, kubernetes: {host: 10.0.0.1}}`, "agent.kubeProxyReplacement wants apiserver.etcd.mode external"},
		{"no kube-proxy, and Kubernetes behind a Service", `{agent: {kubeProxyReplacement: true}, apiserver: {etcd: {mode: external, endpoints: ["https://10.0.0.1:2379"]}}}`, "and kubernetes.host"},
		{"a type that SELinux cannot have", `speaker: {seLinuxType: "a: b"}`, "'/speaker/seLinuxType': 'a: b' does not match pattern"},
		{"no flag", `agent: {extraArgs: [maps=small]}`, "'/agent/extraArgs/0': 'maps=small' does not match pattern"},
		{"a peer without its secret", `apiserver: {peers: [{name: west}]}`, "missing property 'secretName'"},
		{"made certificates without a cluster to look into", `certificates: {mode: generated}`, "needs helm install or upgrade against the cluster"},
	} {
		text, err := render(t, nil, east, c.values)
		if err == nil {
			t.Errorf("%s: it renders\n%s", c.what, text)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want %q in\n%v", c.what, c.want, err)
		}
	}
}

// Nothing that a role needs is a value that defaults would hide.
func TestDefaultsLackTheCluster(t *testing.T) {
	_, err := render(t, nil)
	if err == nil || !strings.Contains(err.Error(), "/cluster/id") {
		t.Errorf("got %v", err)
	}
}
