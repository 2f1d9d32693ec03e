// Package sandbox holds what a lab's machines are made of on a Linux host:
// network namespaces and the wires between them, cgroups, mounts, and
// processes that are born inside of a namespace and a cgroup and outlive
// their starter.
//
// It knows no cluster and no node; deploy/lab says what to make. Everything
// it makes can be found again by name (namespaces, cgroups) or place (mounts),
// so that what a killed process left behind can be removed without its notes.
// A process is killed through its cgroup or its pidfd, never by a number that
// another process may have by then.
package sandbox
