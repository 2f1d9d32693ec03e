// Package healthcheck serves the healthCheckNodePort of load balancers under an external
// policy Local: by it a load balancer before the nodes finds out which of them have an
// endpoint, as it does with kube-proxy.
//
// What is to be answered is worked out of each snapshot of the balancer, by a pure
// function; a listener for each port, at the addresses at which the node serves node
// ports, answers with what was worked out last. A port that another process has, as
// kube-proxy does where it runs, is left to that and tried again.
package healthcheck
