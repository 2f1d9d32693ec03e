package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// BGPPeer is a router with which nodes keep a BGP session.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=bgpp,categories=tombolo
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.spec.address`
// +kubebuilder:printcolumn:name="ASN",type=integer,JSONPath=`.spec.asn`
// +kubebuilder:printcolumn:name="Nodes",type=integer,JSONPath=`.status.nodes`
// +kubebuilder:printcolumn:name="Established",type=integer,JSONPath=`.status.established`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Local ASN",type=integer,priority=1,JSONPath=`.spec.localASN`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$')",message="the name must have at most 63 characters between its dots"
type BGPPeer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec BGPPeerSpec `json:"spec"`
	// Status is what became of it.
	//
	// +optional
	Status BGPPeerStatus `json:"status,omitzero"`
}

// BGPPeerSpec describes the session.
//
// +kubebuilder:validation:XValidation:rule="!isIP(self.address) || !ip(self.address).isLinkLocalUnicast() || (has(self.interface) && size(self.interface) > 0)",message="must be given with a link-local address: name the device that leads to the router",fieldPath=".interface",reason=FieldValueRequired
// +kubebuilder:validation:XValidation:rule="!has(self.keepalive) || !self.keepalive.matches('^([0-9]{1,5}[hms]){1,3}$') || !self.holdTime.matches('^([0-9]{1,5}[hms]){1,3}$') || duration(self.keepalive).getSeconds() * 3 <= duration(self.holdTime).getSeconds()",message="must be at most a third of holdTime (RFC 4271): shorten it, raise holdTime, or leave it out",fieldPath=".keepalive"
type BGPPeerSpec struct {
	// Address is the router's IPv4 or IPv6 address.
	//
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="isIP(self) && (ip(self).isGlobalUnicast() || ip(self).isLoopback() || ip(self).isLinkLocalUnicast())",message="must be the address of one host, without a zone, such as 192.0.2.1 or 2001:db8::1"
	Address string `json:"address"`
	// Port is the router's TCP port.
	//
	// +optional
	// +kubebuilder:default=179
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port *int32 `json:"port,omitempty"`
	// ASN is the router's autonomous system.
	ASN ASN `json:"asn"`
	// LocalASN is ours; equal to ASN is iBGP.
	LocalASN ASN `json:"localASN"`
	// Interface binds the session to a device; a link-local address needs it.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=15
	// +kubebuilder:validation:XValidation:rule=`bytes(self).size() <= 15 && self.matches('^[^/:[:space:]\\x00]*$') && self != '.' && self != '..'`,message="must be the name of a network device, such as eth0: at most 15 bytes, without '/', ':' and spaces"
	Interface string `json:"interface,omitempty"`
	// HoldTime is how long the session lives without a message; 3s or more.
	// "Never" is not offered: it would keep a dead session for good.
	//
	// +optional
	// +kubebuilder:default="9s"
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}[hms]){1,3}$') && duration(self) >= duration('3s') && duration(self) <= duration('65535s')",message="must be whole seconds from 3s to 65535s (RFC 4271), such as 9s or 1m30s"
	HoldTime *Seconds `json:"holdTime,omitempty"`
	// Keepalive is the time between two keepalives, a third of HoldTime by
	// default and at most.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}[hms]){1,3}$') && duration(self) >= duration('1s') && duration(self) <= duration('21845s')",message="must be whole seconds from 1s to 21845s, such as 3s"
	Keepalive *Seconds `json:"keepalive,omitempty"`
	// ConnectRetry is the time between two attempts to connect, an hour at most.
	//
	// +optional
	// +kubebuilder:default="1s"
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}[hms]){1,3}$') && duration(self) >= duration('1s') && duration(self) <= duration('1h')",message="must be whole seconds from 1s to 1h, such as 5s"
	ConnectRetry *Seconds `json:"connectRetry,omitempty"`
	// RestartTime is how long the router keeps our routes while the session is
	// down (RFC 4724), 1s to 4095s.
	//
	// +optional
	// +kubebuilder:default="120s"
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}[hms]){1,3}$') && duration(self) >= duration('1s') && duration(self) <= duration('4095s')",message="must be whole seconds from 1s to 4095s (RFC 4724), such as 120s"
	RestartTime *Seconds `json:"restartTime,omitempty"`
	// PasswordFile is a file on the nodes that holds the key of TCP MD5 (RFC 2385).
	//
	// +optional
	PasswordFile File `json:"passwordFile,omitempty"`
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
	NodeSelector *Selector `json:"nodeSelector,omitempty"`
	// Families are the address families offered, ipv4 and ipv6.
	//
	// +optional
	// +listType=set
	// +kubebuilder:default={ipv4,ipv6}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	Families []Family `json:"families,omitempty"`
}

// ASN is the number of an autonomous system.
//
// +kubebuilder:validation:Minimum=1
// +kubebuilder:validation:Maximum=4294967295
// +kubebuilder:validation:XValidation:rule="!(self in [23456, 65535, 4294967295])",message="must not be a reserved number (RFC 6793, RFC 7300); private ones are 64512 to 65534 and 4200000000 to 4294967294"
type ASN int64

// Family is an address family of BGP.
//
// +kubebuilder:validation:Enum=ipv4;ipv6
type Family string

// The address families.
const (
	IPv4 Family = "ipv4"
	IPv6 Family = "ipv6"
)

// BGPPeerStatus is what the nodes that peer say of their sessions.
type BGPPeerStatus struct {
	// Nodes is the number of nodes that are to peer.
	//
	// +optional
	Nodes int32 `json:"nodes,omitempty"`
	// Established is the number of nodes whose session is established.
	//
	// +optional
	Established int32 `json:"established,omitempty"`
	// Conditions are Accepted and Ready, which says whether all nodes that are
	// to peer have an established session.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// BGPPeerList is a list of BGPPeers.
//
// +kubebuilder:object:root=true
type BGPPeerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []BGPPeer `json:"items"`
}
