// Package status writes to our own objects in Kubernetes how they stand.
//
// What became of an object is known in the cluster's etcd, where the nodes
// report; the leader of the API servers hands it over (Tell), and this package
// adds what the object as it is written now means, and writes what differs from
// the object's status: by server-side apply, as one field manager, so that the
// fields are ours alone and a second writer of the same changes nothing. What
// cannot be written is tried again with what is told next.
package status
