//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Which sockets keep their flow in their own storage: user space comes to that only
// through the socket, which is another process's. An iterator (Linux 5.9) walks over
// the storages of one map, in all network namespaces, and over nothing else: where
// none has spilled it costs a look.
#include "include/socket.h"

// Of the kernel's structures (net/sock.h, net/net_namespace.h), which are looked
// up by name in its BTF.
#define KERNEL __attribute__((preserve_access_index))

struct net {
	__u64 net_cookie;
} KERNEL;

typedef struct {
	struct net *net;
} KERNEL possible_net_t;

struct sock_common {
	unsigned char skc_state;
	possible_net_t skc_net;
} KERNEL;

struct sock {
	struct sock_common __sk_common;
	void *sk_socket; // NULL when its owner closed it
} KERNEL;

// TCP_CLOSE of net/tcp_states.h, which UDP sockets are in as well that are not
// connected.
#define STATE_CLOSE 7

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__bpf_sk_storage_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	struct sock *sk;
	struct flow *flow;
};

SEC("iter/bpf_sk_storage_map")
int spilled(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct sock *sk = ctx->sk;
	struct flow *flow = ctx->flow;

	if (!sk || !flow || !sk->sk_socket || sk->__sk_common.skc_state == STATE_CLOSE)
		return 0;

	struct spilled_socket s = {
		.cookie = bpf_get_socket_cookie(sk), // of a struct sock: Linux 5.12
		.socket = { .netns = sk->__sk_common.skc_net.net->net_cookie, .flow = *flow },
	};

	bpf_seq_write(ctx->meta->seq, &s, sizeof(s)); // what finds no room comes with the next read
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
