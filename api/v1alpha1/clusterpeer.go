package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ClusterPeer names another cluster of the mesh, whose shared objects are
// mirrored into this one. Its metadata.name is the name of that cluster.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=cpeer,categories=tombolo
// +kubebuilder:printcolumn:name="ID",type=integer,JSONPath=`.status.clusterID`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Endpoints",type=string,priority=1,JSONPath=`.spec.endpoints`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",message="the name is that of a cluster and must be lower case letters, digits and '-', at most 63"
type ClusterPeer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ClusterPeerSpec `json:"spec"`
	// Status is what became of it.
	//
	// +optional
	Status ClusterPeerStatus `json:"status,omitzero"`
}

// ClusterPeerSpec says how the peer's etcd is reached.
type ClusterPeerSpec struct {
	// Endpoints are the URLs of the peer's etcd: https://address:port.
	//
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Endpoints []Endpoint `json:"endpoints"`
	// TLS names the files that authenticate the two clusters to each other.
	TLS ClusterPeerTLS `json:"tls"`
}

// Endpoint is the URL of a member of etcd.
//
// +kubebuilder:validation:MaxLength=280
// +kubebuilder:validation:XValidation:rule="self.matches('^https://[^/?#@%]+$') && isURL(self) && size(url(self).getHostname()) > 0 && size(url(self).getPort()) > 0",message="must be https://HOST:PORT and no more, such as https://192.0.2.1:2379"
type Endpoint string

// ClusterPeerTLS are paths of PEM files on the machines of the API servers.
type ClusterPeerTLS struct {
	// CAFile holds the authorities that sign the peer's server certificate.
	//
	// +kubebuilder:validation:MinLength=1
	CAFile File `json:"caFile"`
	// CertFile holds our client certificate; its common name is the user that
	// we are in the peer's etcd.
	//
	// +kubebuilder:validation:MinLength=1
	CertFile File `json:"certFile"`
	// KeyFile holds the private key of the certificate.
	//
	// +kubebuilder:validation:MinLength=1
	KeyFile File `json:"keyFile"`
}

// File is the path of a file.
//
// +kubebuilder:validation:MaxLength=4095
// +kubebuilder:validation:XValidation:rule=`size(self) == 0 || self.startsWith('/') && !self.contains('\u0000')`,message="must be an absolute path, such as /etc/tombolo/peer.crt"
type File string

// ClusterPeerStatus is what the API server that leads says of the mirror.
type ClusterPeerStatus struct {
	// ClusterID is the number of the peer in the mesh, once it said so.
	//
	// +optional
	ClusterID int32 `json:"clusterID,omitempty"`
	// PodCIDRs are the addresses of the peer's pods.
	//
	// +optional
	// +listType=atomic
	PodCIDRs []string `json:"podCIDRs,omitempty"`
	// NodeCIDRs are the addresses of the peer's nodes.
	//
	// +optional
	// +listType=atomic
	NodeCIDRs []string `json:"nodeCIDRs,omitempty"`
	// ServiceCIDRs are the peer's cluster IPs.
	//
	// +optional
	// +listType=atomic
	ServiceCIDRs []string `json:"serviceCIDRs,omitempty"`
	// Conditions are Accepted and Ready, which says whether the peer's objects
	// are mirrored.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ClusterPeerList is a list of ClusterPeers.
//
// +kubebuilder:object:root=true
type ClusterPeerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ClusterPeer `json:"items"`
}
