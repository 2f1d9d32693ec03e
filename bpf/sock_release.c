//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// close(): nobody has the socket any more. The kernel asks for the sockets that
// processes made; for its own (MPTCP's subflows, an NFS mount) it does not, and
// the agent sweeps those.
#include "include/socket.h"

SEC("cgroup/sock_release") // Linux 5.9
int sock_release(struct bpf_sock *sk)
{
	socket_forget(bpf_get_socket_cookie(sk));
	return 1;
}

char _license[] SEC("license") = "Dual BSD/GPL";
