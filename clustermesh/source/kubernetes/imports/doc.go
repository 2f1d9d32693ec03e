// Package imports writes to Kubernetes what all clusters offer together: for each
// service of the cluster set a ServiceImport, a derived Service without a selector,
// from which kube-apiserver gives it its address, and an EndpointSlice for each slice
// of each cluster; and to the ServiceExports of this cluster how they stand.
//
// The leader of the API servers hands all of it over (SetClusterSet). What is written
// is compared with what was written last, and now and then with what the API has of
// ours, by a label that all of it bears. Objects that bear it not are nobody's
// business here, whatever their names.
//
// Nothing goes because something is silent: of a cluster whose offers are not known
// at present what was written stays, and a ServiceImport that names such a cluster
// stays as it is, until they are known or the cluster is no peer any more.
package imports
