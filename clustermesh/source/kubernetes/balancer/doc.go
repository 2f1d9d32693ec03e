// Package balancer writes to Services of the Kubernetes API which load-balancer
// addresses they have: status.loadBalancer and the conditions that tell of them.
//
// What a Service should say comes from the API server that leads, what it does say
// from the watch of the source, who wrote that from its managed fields. One writer
// compares the two, service by service, and applies the difference to the
// subresource status, in the name of one field manager: what is not wanted any more
// is found and taken out again by whoever leads then, and what others wrote is
// theirs. A write holds only for the object as it was when it was judged.
package balancer
