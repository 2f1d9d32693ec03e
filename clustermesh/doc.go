// Package clustermesh holds the nouns of the mesh – Cluster, Node, Service,
// EndpointSlice, Identity and the BGP objects – and how they lie in etcd.
//
// A source turns the objects of a cluster into these values; Encode writes
// them under the key that Key names; a mirror copies a peer's export/ into
// mirror/<peer>/; and every reader gets them back through ParseKey and
// Decode, which refuse whatever is not exactly well formed. The types are
// plain values: nothing here reads, writes, waits or logs, and nothing here
// imports more than the standard library, protobuf and the generated meshpb.
//
// Clusters of different versions run side by side: fields that this version
// does not know are ignored, values that it does not know are refused with
// their object (see clustermesh.proto for the rules that follow for writers).
package clustermesh

//go:generate go tool -modfile=../internal/tools/go.mod buf generate
