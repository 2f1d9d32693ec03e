// Package advertise decides which routes a node offers to which router.
//
// It is one pure function: Paths takes the node, its routers, the
// advertisements and the merged services, and returns for each router the set
// of paths it should have, and beside it what was held back and why. The
// speaker gives the difference to what a router has to BGP; a path that is in
// the set stays, whatever happens to its session.
package advertise
