package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// BGPPeer is a router with which nodes keep a BGP session.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster
type BGPPeer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec BGPPeerSpec `json:"spec"`
}

// BGPPeerSpec describes the session.
type BGPPeerSpec struct {
	// Address is the router's IPv4 or IPv6 address.
	Address string `json:"address"`
	// Port is the router's TCP port.
	//
	// +optional
	// +kubebuilder:default=179
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
	// ASN is the router's autonomous system.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4294967295
	ASN int64 `json:"asn"`
	// LocalASN is ours.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4294967295
	LocalASN int64 `json:"localASN"`
	// Interface binds the session to a device; a link-local address needs it.
	//
	// +optional
	Interface string `json:"interface,omitempty"`
	// HoldTime is how long the session lives without a message; 3s or more,
	// 90s by default.
	//
	// +optional
	HoldTime *metav1.Duration `json:"holdTime,omitempty"`
	// Keepalive is the time between two keepalives, a third of HoldTime by default.
	//
	// +optional
	Keepalive *metav1.Duration `json:"keepalive,omitempty"`
	// ConnectRetry is the time between two attempts to connect, 5s by default.
	//
	// +optional
	ConnectRetry *metav1.Duration `json:"connectRetry,omitempty"`
	// RestartTime is how long the router keeps our routes while the session is
	// down (RFC 4724), 1s to 4095s, 120s by default.
	//
	// +optional
	RestartTime *metav1.Duration `json:"restartTime,omitempty"`
	// PasswordFile is a file on the nodes that holds the key of TCP MD5 (RFC 2385).
	//
	// +optional
	PasswordFile string `json:"passwordFile,omitempty"`
	// Multihop is the TTL of packets to a router that is not on the link; zero
	// means that it is.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=255
	Multihop int32 `json:"multihop,omitempty"`
	// NodeSelector picks the nodes that peer with the router; all by default.
	//
	// +optional
	NodeSelector *metav1.LabelSelector `json:"nodeSelector,omitempty"`
	// Families are the address families offered, ipv4 and ipv6; both by default.
	//
	// +optional
	Families []Family `json:"families,omitempty"`
}

// Family is an address family of BGP.
//
// +kubebuilder:validation:Enum=ipv4;ipv6
type Family string

// The address families.
const (
	IPv4 Family = "ipv4"
	IPv6 Family = "ipv6"
)
