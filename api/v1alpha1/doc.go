// Package v1alpha1 holds the Kubernetes types of Tombolo's own kinds, API
// group tombolo.io: ClusterPeer, BGPPeer, BGPAdvertisement and AddressPool.
// All of them are cluster scoped.
//
// A source decodes them, from the Kubernetes API or from a manifest, and
// package translate turns them into the nouns of package clustermesh; nothing
// behind that border sees these types. The markers are what controller-gen
// makes the custom resource definitions in deploy/crds from, and docs/api.md
// is made from those. What a schema can decide is decided by its rules; the
// rest is refused by translate and told by the condition Accepted.
//
// +kubebuilder:object:generate=true
// +groupName=tombolo.io
package v1alpha1

//go:generate go tool -modfile=../../internal/tools/go.mod controller-gen object crd:maxDescLen=4096 paths=. output:crd:dir=../../deploy/crds
//go:generate go run ../../internal/apidocs -out ../../docs/api.md ../../deploy/crds

// The group and the version of these kinds, as apiVersion spells them.
const (
	Group      = "tombolo.io"
	Version    = "v1alpha1"
	APIVersion = Group + "/" + Version
)
