// Package clusterset joins what the clusters offer under one name into the one
// service that all of them may use: the clusterset service of the Multi-cluster
// Services API (KEP-1645).
//
// Resolve takes the offers of all clusters, whoever makes them, and returns type,
// ports and the other properties of the service, and in what the offers contradict
// each other. Where they do the oldest ServiceExport holds, of equal ones that of the
// cluster whose name comes first; so every cluster that knows the same offers comes
// to the same service. Conditions says of one's own offer how it stands, in the words
// of the API.
//
// It is pure: it knows no store, no clock and no Kubernetes, and writes to none of
// what it is given. Which addresses a service has, and which endpoints, is decided
// elsewhere.
package clusterset
