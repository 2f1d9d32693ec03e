// Package uplink finds the devices by which a node reaches the others, and says
// when they may have changed.
//
// Choose is pure; Survey asks the kernel, and Watch hears from it. All of them
// look at the network namespace of the thread that calls them.
package uplink
