package cri

import (
	"cmp"
	"net/netip"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"tombolo.io/tombolo/agent/pods"
)

// The labels and the annotation that the kubelet gives to every sandbox
// (k8s.io/kubelet/pkg/types; pkg/kubelet/types/pod_update.go).
const (
	labelName        = "io.kubernetes.pod.name"
	labelNamespace   = "io.kubernetes.pod.namespace"
	labelUID         = "io.kubernetes.pod.uid"
	annotationSource = "kubernetes.io/config.source"
	sourceAPI        = "api"
)

// sandbox is what is known of a sandbox that is ready.
type sandbox struct {
	id, uid, name string
	// created is when it was, in nanoseconds of the runtime's clock.
	created int64
	// static: it is of a pod that the kubelet has from a file or an URL.
	static bool
	sandboxStatus
}

// sandboxStatus is what the runtime says of a sandbox only when it is asked about it alone.
type sandboxStatus struct {
	// ready: it was, when it was asked about.
	ready       bool
	addresses   []netip.Addr
	hostNetwork bool
	cgroup      string
}

// listed reads a sandbox of a list. One that is not the kubelet's goes by its own id,
// so that its address is known to be in use.
func listed(s *runtime.PodSandbox) *sandbox {
	labels, meta := s.GetLabels(), s.GetMetadata()
	uid := cmp.Or(labels[labelUID], meta.GetUid(), s.GetId())
	if !pods.ValidUID(uid) {
		uid = s.GetId()
	}
	source := s.GetAnnotations()[annotationSource]
	out := &sandbox{id: s.GetId(), uid: uid, created: s.GetCreatedAt(), static: source != "" && source != sourceAPI}
	if name := cmp.Or(labels[labelName], meta.GetName()); name != "" {
		out.name = cmp.Or(labels[labelNamespace], meta.GetNamespace()) + "/" + name
	}
	return out
}

// readStatus reads what a runtime says of one sandbox.
func readStatus(r *runtime.PodSandboxStatusResponse) sandboxStatus {
	s := r.GetStatus()
	out := sandboxStatus{
		ready:       s.GetState() == runtime.PodSandboxState_SANDBOX_READY,
		hostNetwork: s.GetLinux().GetNamespaces().GetOptions().GetNetwork() == runtime.NamespaceMode_NODE,
		cgroup:      cgroupOf(r.GetInfo()),
	}
	if out.hostNetwork {
		return out // its addresses are the node's, and the runtime need not know them
	}
	texts := []string{s.GetNetwork().GetIp()}
	for _, a := range s.GetNetwork().GetAdditionalIps() {
		texts = append(texts, a.GetIp())
	}
	for _, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil && pods.ValidAddress(a) {
			out.addresses = append(out.addresses, a.Unmap())
		}
	}
	out.addresses = pods.Sorted(out.addresses)
	return out
}
