package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ClusterPeer names another cluster of the mesh, whose shared objects are
// mirrored into this one. Its metadata.name is the name of that cluster.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster
type ClusterPeer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ClusterPeerSpec `json:"spec"`
}

// ClusterPeerSpec says how the peer's etcd is reached.
type ClusterPeerSpec struct {
	// Endpoints are the URLs of the peer's etcd: https://address:port.
	//
	// +kubebuilder:validation:MinItems=1
	Endpoints []string `json:"endpoints"`
	// TLS names the files that authenticate the two clusters to each other.
	TLS ClusterPeerTLS `json:"tls"`
}

// ClusterPeerTLS are paths of PEM files on the machines of the API servers.
type ClusterPeerTLS struct {
	// CAFile holds the authorities that sign the peer's server certificate.
	CAFile string `json:"caFile"`
	// CertFile holds our client certificate; its common name is the user that
	// we are in the peer's etcd.
	CertFile string `json:"certFile"`
	// KeyFile holds the private key of the certificate.
	KeyFile string `json:"keyFile"`
}
