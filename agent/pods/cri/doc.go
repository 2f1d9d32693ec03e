// Package cri knows which pods run on a node by the word of its container runtime,
// over the runtime's socket, as the kubelet has it: k8s.io/cri-api.
//
// A pass lists the sandboxes that are ready, and asks once about each new one: its
// addresses, whether it is in the node's network, and its cgroup. What a pass found
// is told as a [pods.Finding]. The parts have a file each:
//
//   - session: a connection to a runtime, and the calls; nothing waits for ever
//   - events: hears that something changed, where the runtime says so to all who ask;
//     what changed is always taken from a list, so that their order means nothing
//   - sandbox: *pure*, what the runtime's messages say of a pod
//   - ledger: *pure*, which pods run, and which losses are believed
//   - cgroup: the kernel's word on whether a pod's processes are still there
//   - runtime: the shell around them
//
// A runtime that restarts, hangs or answers nothing says nothing of pods: what was
// known goes on. Nor is it believed at once that most of them are gone, see [ledger].
package cri
