// Package v1alpha1 holds the Kubernetes types of Tombolo's own kinds, API
// group tombolo.io: ClusterPeer, BGPPeer and BGPAdvertisement. All of them
// are cluster scoped.
//
// A source decodes them, from the Kubernetes API or from a manifest, and
// package translate turns them into the nouns of package clustermesh; nothing
// behind that border sees these types. The kubebuilder markers are what
// controller-gen makes the custom resource definitions from. The types carry
// no status: what became of an object is told by `tombolo status`, because the
// processes that act on it hold no Kubernetes credentials.
//
// +groupName=tombolo.io
package v1alpha1

// The group and the version of these kinds, as apiVersion spells them.
const (
	Group      = "tombolo.io"
	Version    = "v1alpha1"
	APIVersion = Group + "/" + Version
)
