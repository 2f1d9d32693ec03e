package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AddressPool holds addresses that are given to services of type LoadBalancer.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster
type AddressPool struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec AddressPoolSpec `json:"spec"`
}

// AddressPoolSpec says which addresses there are, and who may have them.
type AddressPoolSpec struct {
	// Addresses are CIDRs ("192.0.2.0/24", "2001:db8:1::/112") and ranges
	// ("192.0.2.10-192.0.2.20"), of both families as you like. What is named
	// twice counts once.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Addresses []string `json:"addresses"`
	// ServiceSelector picks services by their labels; all by default.
	//
	// +optional
	ServiceSelector *metav1.LabelSelector `json:"serviceSelector,omitempty"`
	// NamespaceSelector picks services by the labels of their namespace; all by
	// default.
	//
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
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
	// belongs to the same service in all clusters.
	//
	// +optional
	// +kubebuilder:default=cluster
	Scope PoolScope `json:"scope,omitempty"`
}

// PoolScope is how far the addresses of a pool reach.
//
// +kubebuilder:validation:Enum=cluster;mesh
type PoolScope string

// The scopes.
const (
	ScopeCluster PoolScope = "cluster"
	ScopeMesh    PoolScope = "mesh"
)
