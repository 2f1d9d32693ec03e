package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and the version of these kinds.
var GroupVersion = schema.GroupVersion{Group: Group, Version: Version}

// Resource is the name under which the API serves a kind: "bgppeers".
func Resource(plural string) schema.GroupVersionResource { return GroupVersion.WithResource(plural) }

// AddToScheme adds these kinds and their lists to a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&ClusterPeer{}, &ClusterPeerList{},
		&BGPPeer{}, &BGPPeerList{},
		&BGPAdvertisement{}, &BGPAdvertisementList{},
		&AddressPool{}, &AddressPoolList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
