// Package standing says how the objects stand that users write for the mesh –
// ClusterPeer, BGPPeer, BGPAdvertisement and AddressPool – in the conditions of
// Kubernetes: what is accepted, what does its work, what contradicts others.
//
// Of is pure: it takes what the store holds, the reports of the nodes among it,
// and returns the same for the same. The leader of the API servers writes it to
// the objects where they came from Kubernetes; `tombolo objects` shows it
// wherever they came from. What a source refuses never comes to the store, and
// is its own to tell.
package standing
