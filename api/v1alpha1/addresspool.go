package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AddressPool holds addresses that are given to services of type LoadBalancer.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=apool,categories=tombolo
// +kubebuilder:printcolumn:name="Scope",type=string,JSONPath=`.spec.scope`
// +kubebuilder:printcolumn:name="Auto",type=boolean,JSONPath=`.spec.autoAssign`
// +kubebuilder:printcolumn:name="Allocated",type=integer,JSONPath=`.status.allocated`
// +kubebuilder:printcolumn:name="Available",type=integer,JSONPath=`.status.available`
// +kubebuilder:printcolumn:name="Conflicted",type=string,JSONPath=`.status.conditions[?(@.type=="Conflicted")].status`
// +kubebuilder:printcolumn:name="Addresses",type=string,priority=1,JSONPath=`.spec.addresses`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Conflicted")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$')",message="the name must have at most 63 characters between its dots"
type AddressPool struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec AddressPoolSpec `json:"spec"`
	// Status is what became of it.
	//
	// +optional
	Status AddressPoolStatus `json:"status,omitzero"`
}

// AddressPoolSpec says which addresses there are, and who may have them.
//
// +kubebuilder:validation:XValidation:rule="self.scope == oldSelf.scope",message="cannot be changed, because services hold addresses of it: make another pool",fieldPath=".scope"
// +kubebuilder:validation:XValidation:rule="self.scope != 'mesh' || !has(self.autoAssign) || !self.autoAssign",message="cannot be true with scope mesh, where users name the addresses: remove it",fieldPath=".autoAssign"
type AddressPoolSpec struct {
	// Addresses are CIDRs ("192.0.2.0/24", "2001:db8:1::/112") and ranges
	// ("192.0.2.10-192.0.2.20"), of both families as you like. What is named
	// twice counts once. A range has both ends within one /16 (IPv4) or /112
	// (IPv6).
	//
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Addresses []Addresses `json:"addresses"`
	// ServiceSelector picks services by their labels; all by default.
	//
	// +optional
	ServiceSelector *Selector `json:"serviceSelector,omitempty"`
	// NamespaceSelector picks services by the labels of their namespace; all by
	// default.
	//
	// +optional
	NamespaceSelector *Selector `json:"namespaceSelector,omitempty"`
	// AvoidBuggyIPs gives out no IPv4 address that ends in .0 or .255: some
	// devices drop their packets. A service that asks for one is refused.
	//
	// +optional
	AvoidBuggyIPs bool `json:"avoidBuggyIPs,omitempty"`
	// AutoAssign gives addresses to services that ask for none in particular.
	// By default it is on with scope cluster; with scope mesh it is off, and
	// cannot be on.
	//
	// +optional
	AutoAssign *bool `json:"autoAssign,omitempty"`
	// Scope is cluster, where the addresses are this cluster's own, or mesh,
	// where every cluster has the same pool: an address is named by the user, and
	// belongs to the same service in all clusters. It cannot be changed.
	//
	// +optional
	// +kubebuilder:default=cluster
	Scope *PoolScope `json:"scope,omitempty"`
}

// Addresses is a CIDR or a range of addresses.
//
// +kubebuilder:validation:MaxLength=79
// +kubebuilder:validation:XValidation:rule="isCIDR(self) || (self.matches('^([0-9.]+-[0-9.]+|[0-9A-Fa-f:]+-[0-9A-Fa-f:]+)$') && self.split('-').all(a, isIP(a)))",message="must be a CIDR or a range, such as 192.0.2.0/24, 2001:db8::/112 or 192.0.2.10-192.0.2.20; one address is 192.0.2.1/32"
// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || cidr(self) == cidr(self).masked()",message="must have no bits set beyond its length: write the first address of the network"
// +kubebuilder:validation:XValidation:rule="!self.matches('^[0-9.]+-[0-9.]+$') || !self.split('-').all(a, isIP(a)) || (self.split('-')[0].split('.')[0] == self.split('-')[1].split('.')[0] && self.split('-')[0].split('.')[1] == self.split('-')[1].split('.')[1] && int(self.split('-')[0].split('.')[2]) * 256 + int(self.split('-')[0].split('.')[3]) <= int(self.split('-')[1].split('.')[2]) * 256 + int(self.split('-')[1].split('.')[3]))",message="must lead from a first to a last address of one /16 (IPv4) or /112 (IPv6): turn it round, or write larger blocks as CIDRs"
// +kubebuilder:validation:XValidation:rule="!self.matches('^[0-9A-Fa-f:]+-[0-9A-Fa-f:]+$') || !self.split('-').all(a, isIP(a)) || (cidr(self.split('-')[0] + '/112').containsIP(self.split('-')[1]) && ('0000' + self.split('-')[0].substring(self.split('-')[0].lastIndexOf(':') + 1)).substring(self.split('-')[0].size() - self.split('-')[0].lastIndexOf(':') - 1).lowerAscii() <= ('0000' + self.split('-')[1].substring(self.split('-')[1].lastIndexOf(':') + 1)).substring(self.split('-')[1].size() - self.split('-')[1].lastIndexOf(':') - 1).lowerAscii())",message="must lead from a first to a last address of one /16 (IPv4) or /112 (IPv6): turn it round, or write larger blocks as CIDRs"
// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || !['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3', '::/8', 'fe80::/10', 'ff00::/8'].exists(s, cidr(s).containsCIDR(self) || cidr(self).containsCIDR(s))",message="must not reach into loopback, link-local, multicast or reserved addresses"
// +kubebuilder:validation:XValidation:rule="!self.matches('-') || !self.split('-').all(a, isIP(a)) || !['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3', '::/8', 'fe80::/10', 'ff00::/8'].exists(s, cidr(s).containsIP(self.split('-')[0]))",message="must not reach into loopback, link-local, multicast or reserved addresses"
type Addresses string

// PoolScope is how far the addresses of a pool reach.
//
// +kubebuilder:validation:Enum=cluster;mesh
type PoolScope string

// The scopes.
const (
	ScopeCluster PoolScope = "cluster"
	ScopeMesh    PoolScope = "mesh"
)

// AddressPoolStatus is what the API server that leads says of it.
type AddressPoolStatus struct {
	// Allocated is the number of addresses that services hold, or that rest since
	// one gave them back.
	//
	// +optional
	Allocated int64 `json:"allocated"`
	// Available is the number of addresses that services could still have, and
	// the greatest number there is where it is greater.
	//
	// +optional
	Available int64 `json:"available"`
	// Conditions are Accepted and Conflicted, which says whether another pool
	// has some of the same addresses.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// AddressPoolList is a list of AddressPools.
//
// +kubebuilder:object:root=true
type AddressPoolList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []AddressPool `json:"items"`
}
