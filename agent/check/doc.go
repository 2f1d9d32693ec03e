// Package check finds out whether the paths from this node to the mesh's other
// nodes are as Tombolo needs them, and says what is wrong and how to mend it.
//
// [Measure] asks the kernels of the other nodes by the probes that they answer
// (package bpf): from this node's address and from an address of its pods, at
// their addresses and at their pods' prefixes, in all sizes; and by ping, where
// they are silent. What it saw are plain [Path] values. [Judge] and [Facts.Judge]
// are pure: they turn what was seen into findings.
//
// Replies to this node's pods are not for any socket: they are read as they pass
// by on the devices, before firewalls.
package check
