//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// getpeername(): a connected socket shows the frontend that it was connected to.
#include "include/socket.h"

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
	struct address peer = address_load4(ctx);
	struct flow flow;

	if (socket_flow(ctx, &peer, (__be16)ctx->user_port, &flow))
		address_store4(ctx, &flow.frontend, flow.frontend_port);
	return 1;
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *ctx)
{
	struct address peer = address_load6(ctx);
	struct flow flow;

	if (socket_flow(ctx, &peer, (__be16)ctx->user_port, &flow))
		address_store6(ctx, &flow.frontend, flow.frontend_port);
	return 1;
}

char _license[] SEC("license") = "Dual BSD/GPL";
