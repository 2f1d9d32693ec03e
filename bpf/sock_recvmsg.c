//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// recvfrom() and recvmsg(): a datagram from a backend shows the frontend as its
// source, to which the client had sent.
#include "include/datagram.h"
#include "include/socket.h"

// answers finds the conversation, of a connected socket or not, in which this
// source is the backend.
static __always_inline bool answers(struct bpf_sock_addr *ctx, struct address source, struct flow *flow)
{
	__be16 port = (__be16)ctx->user_port;

	if (!ctx->sk)
		return false;
	// What a socket was connected to counts while it is.
	if (ctx->sk->dst_port == port && socket_flow(ctx, &source, port, flow))
		return true;

	struct conversations *c = bpf_sk_storage_get(&datagrams, ctx->sk, NULL, 0);

	return c && conversations_from(c, &source, port, flow);
}

SEC("cgroup/recvmsg4")
int recvmsg4(struct bpf_sock_addr *ctx)
{
	struct flow flow = {};

	if (answers(ctx, address_load4(ctx), &flow))
		address_store4(ctx, &flow.frontend, flow.frontend_port);
	return 1;
}

SEC("cgroup/recvmsg6")
int recvmsg6(struct bpf_sock_addr *ctx)
{
	struct flow flow = {};

	if (answers(ctx, address_load6(ctx), &flow))
		address_store6(ctx, &flow.frontend, flow.frontend_port);
	return 1;
}

char _license[] SEC("license") = "Dual BSD/GPL";
