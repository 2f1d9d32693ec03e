// Package outlier judges which backends of a service port are left out for a
// while, because connections to them fail one after the other.
//
// It is Envoy's outlier detection for connections, by its names. A [Detector]
// holds one port. It is plain data: whoever owns it says which hosts there are,
// and which failed when, and is told who is ejected and who comes back. It looks
// at no clock, and how many failures there were in a row is counted by the kernel.
//
// What is never: more than max_ejection_percent of the hosts ejected, whatever
// fails, comes or goes.
package outlier
