// Package uplink finds the devices by which a node reaches the others, and says
// when they may have changed.
//
// Devices says on which to attach. Choose and Keep, by which it does, are pure; Survey
// asks the kernel, and Watch hears from it. All that do look at the network namespace
// of the thread that calls them.
package uplink
