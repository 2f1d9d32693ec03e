package kubernetes

import (
	"slices"
	"strings"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/internal/etcdtest"
)

const objectsYAML = `
apiVersion: tombolo.io/v1alpha1
kind: BGPPeer
metadata: {name: tor}
spec: {address: 192.168.1.254, asn: 64512, localASN: 64513}
---
apiVersion: tombolo.io/v1alpha1
kind: BGPAdvertisement
metadata: {name: all}
spec: {podCIDRs: true, peers: [tor]}
---
apiVersion: tombolo.io/v1alpha1
kind: AddressPool
metadata: {name: public}
spec: {addresses: [198.51.100.0/30]}
---
apiVersion: tombolo.io/v1alpha1
kind: ClusterPeer
metadata: {name: west}
spec: {endpoints: ["https://192.0.2.9:2379"], tls: {caFile: /a, certFile: /b, keyFile: /c}}
`

// standings shows that what the nodes report comes back to the objects.
func standings(r *rig, all []string) {
	r.apply(objectsYAML)
	r.wants("they are stored", slices.Concat(all, []string{"private/bgp/peers/tor", "private/bgp/advertisements/all", "private/peers/west", "private/pools/public"})...)
	condition := func(object, typ, field string) string {
		return r.kube.Kubectl("", "get", object, "-o", `jsonpath={.status.conditions[?(@.type=="`+typ+`")].`+field+`}`)
	}
	says := func(object, typ, status, reason, message string) {
		r.Helper()
		r.until(object+" is "+reason, func() bool {
			return condition(object, typ, "status") == status && condition(object, typ, "reason") == reason && strings.Contains(condition(object, typ, "message"), message)
		})
	}
	says("bgpadvertisement/all", "Accepted", "True", "Accepted", "")
	says("bgppeer/tor", "Accepted", "True", "Accepted", "")
	says("bgppeer/tor", "Ready", "False", "NoSpeaker", "no speaker runs on the 3 nodes")
	says("addresspool/public", "Conflicted", "False", "None", "")
	if got := r.kube.Kubectl("", "get", "addresspool/public", "-o", "jsonpath={.status}"); !strings.Contains(got, `"allocated":0,"available":4`) {
		r.Errorf("the pool's status is %s", got)
	}
	says("clusterpeer/west", "Accepted", "Unknown", "Unknown", "")
	says("clusterpeer/west", "Ready", "False", "Connecting", "")

	report := func(established bool, state, why string) {
		p := &clustermesh.ProcessStatus{Role: clustermesh.RoleSpeaker, Node: "n1", Health: clustermesh.HealthOK,
			Sessions: []clustermesh.BGPSession{{Peer: "tor", State: state, Established: established, Reason: why}}}
		value, err := clustermesh.Encode(p)
		if err != nil {
			r.Fatal(err)
		}
		etcdtest.Put(r, r.etcd, clustermesh.KeyOf(clustermesh.Status, p).String(), string(value))
	}
	report(false, "Connecting", "connection refused")
	says("bgppeer/tor", "Ready", "False", "NotEstablished", "n1: Connecting: connection refused")
	report(true, "Established", "")
	r.kube.Kubectl("", "wait", "--for=condition=Ready", "--timeout=30s", "bgppeer/tor")
	r.kube.Kubectl("", "patch", "bgppeer/tor", "--type=merge", "-p", `{"spec": {"asn": 64999}}`)
	r.until("the status is of the new spec", func() bool { return condition("bgppeer/tor", "Accepted", "observedGeneration") == "2" })
	transitions(r)
	r.kube.Kubectl(objectsYAML, "delete", "-f", "-")
	r.wants("and they go", all...)
}

// transitions compares what is told of the life of tor with its events.
func transitions(r *rig) {
	r.Helper()
	uid := func(object string) string { return r.kube.Kubectl("", "get", object, "-o", "jsonpath={.metadata.uid}") }
	told := func(uid string) string { // not those of others that had its name before
		return r.kube.Kubectl("", "-n", "default", "get", "events", "--field-selector", "involvedObject.uid="+uid,
			"-o", `jsonpath={range .items[*]}{.type} {.reason} {.count} {.message}{"\n"}{end}`)
	}
	tor, public := uid("bgppeer/tor"), uid("addresspool/public")
	for _, want := range []string{
		"Normal Accepted 1 it is taken as it is written",
		"Warning NoSpeaker 1 no speaker runs on the 3 nodes",
		"Warning NotEstablished 1 established on 0 of 1 nodes",
		"Normal Established 1 established on 1 of 1 nodes",
	} {
		r.until("an event on the router: "+want, func() bool {
			all := told(tor)
			return strings.Contains(all, want) && strings.Count(all, "\n") == 4
		})
	}
	if got := told(public); got != "Normal Accepted 1 it is taken as it is written\n" {
		r.Errorf("events on the pool: %s", got)
	}
}
