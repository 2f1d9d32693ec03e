package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// BGPAdvertisement says which prefixes nodes advertise, and to whom.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=bgpadv,categories=tombolo
// +kubebuilder:printcolumn:name="Pod CIDRs",type=boolean,JSONPath=`.spec.podCIDRs`
// +kubebuilder:printcolumn:name="LoadBalancer IPs",type=boolean,JSONPath=`.spec.loadBalancerIPs`
// +kubebuilder:printcolumn:name="Peers",type=string,JSONPath=`.spec.peers`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Communities",type=string,priority=1,JSONPath=`.spec.communities`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Accepted")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$')",message="the name must have at most 63 characters between its dots"
type BGPAdvertisement struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec BGPAdvertisementSpec `json:"spec"`
	// Status is what became of it.
	//
	// +optional
	Status BGPAdvertisementStatus `json:"status,omitzero"`
}

// BGPAdvertisementSpec picks prefixes, nodes and peers.
//
// +kubebuilder:validation:XValidation:rule="(has(self.podCIDRs) && self.podCIDRs) || (has(self.loadBalancerIPs) && self.loadBalancerIPs)",message="advertises nothing: set podCIDRs or loadBalancerIPs to true"
// +kubebuilder:validation:XValidation:rule="!has(self.serviceSelector) || (has(self.loadBalancerIPs) && self.loadBalancerIPs)",message="picks services of which nothing is advertised: set loadBalancerIPs to true, or remove it",fieldPath=".serviceSelector"
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
	ServiceSelector *Selector `json:"serviceSelector,omitempty"`
	// Peers names the BGPPeers to which this is advertised; all by default.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	Peers []PeerName `json:"peers,omitempty"`
	// NodeSelector picks the nodes that advertise; all by default.
	//
	// +optional
	NodeSelector *Selector `json:"nodeSelector,omitempty"`
	// Communities are attached to every path: "65000:1" (RFC 1997),
	// "65000:1:2" (RFC 8092), or a well-known name such as no-export.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	Communities []Community `json:"communities,omitempty"`
	// LocalPref is sent to peers of the same AS; zero leaves the default.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=4294967295
	LocalPref int64 `json:"localPref,omitempty"`
}

// PeerName is the name of a BGPPeer.
//
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$')",message="must be the name of a BGPPeer: lower case letters, digits, '-' and '.'"
type PeerName string

// Community is a BGP community.
//
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:XValidation:rule="self in ['graceful-shutdown', 'accept-own', 'llgr-stale', 'no-llgr', 'blackhole', 'no-export', 'no-advertise', 'no-export-subconfed', 'no-peer'] || (self.matches('^(0|[1-9][0-9]{0,4})(:(0|[1-9][0-9]{0,4}))$') && self.split(':').all(n, int(n) <= 65535)) || (self.matches('^(0|[1-9][0-9]{0,9})(:(0|[1-9][0-9]{0,9})){2}$') && self.split(':').all(n, int(n) <= 4294967295))",message="must be A:B (16 bits each), A:B:C (32 bits each) or a well-known name, such as no-export"
type Community string

// BGPAdvertisementStatus is what the API server that leads says of it.
type BGPAdvertisementStatus struct {
	// Conditions are Accepted alone; what is advertised is told by the nodes:
	// `tombolo bgp routes`.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// BGPAdvertisementList is a list of BGPAdvertisements.
//
// +kubebuilder:object:root=true
type BGPAdvertisementList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []BGPAdvertisement `json:"items"`
}
