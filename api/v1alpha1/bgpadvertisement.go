package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// BGPAdvertisement says which prefixes nodes advertise, and to whom.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster
type BGPAdvertisement struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec BGPAdvertisementSpec `json:"spec"`
}

// BGPAdvertisementSpec picks prefixes, nodes and peers.
type BGPAdvertisementSpec struct {
	// PodCIDRs advertises the prefixes of the node's pods.
	//
	// +optional
	PodCIDRs bool `json:"podCIDRs,omitempty"`
	// LoadBalancerIPs advertises the addresses of the LoadBalancer services
	// that ServiceSelector picks.
	//
	// +optional
	LoadBalancerIPs bool `json:"loadBalancerIPs,omitempty"`
	// ServiceSelector picks services by their labels; all by default.
	//
	// +optional
	ServiceSelector *metav1.LabelSelector `json:"serviceSelector,omitempty"`
	// Peers names the BGPPeers to which this is advertised; all by default.
	//
	// +optional
	Peers []string `json:"peers,omitempty"`
	// NodeSelector picks the nodes that advertise; all by default.
	//
	// +optional
	NodeSelector *metav1.LabelSelector `json:"nodeSelector,omitempty"`
	// Communities are attached to every path: "65000:1" (RFC 1997),
	// "65000:1:2" (RFC 8092), or a well-known name such as no-export.
	//
	// +optional
	Communities []string `json:"communities,omitempty"`
	// LocalPref is sent to peers of the same AS; zero leaves the default.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=4294967295
	LocalPref int64 `json:"localPref,omitempty"`
}
