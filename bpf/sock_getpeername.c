//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// getpeername(): a connected socket shows the frontend that it was connected to.
#include "include/socket.h"

static __always_inline struct flow *connected_to(struct bpf_sock_addr *ctx, struct address peer)
{
	if (!ctx->sk)
		return NULL;

	struct flow *flow = bpf_sk_storage_get(&sockets, ctx->sk, NULL, 0);

	return flow && flow_is_from(flow, &peer, (__be16)ctx->user_port) ? flow : NULL;
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
	struct flow *flow = connected_to(ctx, address_load4(ctx));

	if (flow)
		address_store4(ctx, &flow->frontend, flow->frontend_port);
	return 1;
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *ctx)
{
	struct flow *flow = connected_to(ctx, address_load6(ctx));

	if (flow)
		address_store6(ctx, &flow->frontend, flow->frontend_port);
	return 1;
}

char _license[] SEC("license") = "Dual BSD/GPL";
