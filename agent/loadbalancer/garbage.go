package loadbalancer

// GCPercent is the GOGC that suits a process which runs a LoadBalancer: when a cluster
// of 10,000 services dies, all of them are merged anew at once, and with Go's 100 the
// collector takes a fifth of that time. It costs about 40 MiB.
const GCPercent = 200
