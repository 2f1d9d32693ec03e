//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// connect(): the socket of a client of a service is connected to a backend.
#include "include/balance.h"
#include "include/opening.h"

static __always_inline enum verdict connect_to(struct bpf_sock_addr *ctx, struct address address, struct flow *flow)
{
	struct frontend_key key = frontend_of(ctx, address);
	__u32 service = frontend_service(&key);

	if (!service) {
		// A UDP socket can be connected again; what it was told before is void.
		if (ctx->sk)
			bpf_sk_storage_delete(&sockets, ctx->sk);
		socket_speaks_directly(ctx, &address);
		opening_forget(ctx);
		return VERDICT_PASS;
	}
	if (!flow_begin(flow, &key, service, choose(ctx, &key, service)))
		return refuse(ERR_REFUSED);
	if (!ctx->sk)
		return VERDICT_PASS;

	struct flow *kept = bpf_sk_storage_get(&sockets, ctx->sk, flow, BPF_SK_STORAGE_GET_F_CREATE);

	if (!kept)
		return refuse(ERR_NOMEM);
	*kept = *flow;
	opening_watch(ctx, service, flow->reference);
	return VERDICT_REWRITE;
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	struct flow flow;
	enum verdict verdict = connect_to(ctx, address_load4(ctx), &flow);

	if (verdict == VERDICT_REWRITE)
		address_store4(ctx, &flow.backend, flow.backend_port);
	return verdict != VERDICT_REFUSE;
}

// The backend is of the frontend's family, so it fits into the socket's.
SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	struct flow flow;
	enum verdict verdict = connect_to(ctx, address_load6(ctx), &flow);

	if (verdict == VERDICT_REWRITE)
		address_store6(ctx, &flow.backend, flow.backend_port);
	return verdict != VERDICT_REFUSE;
}

char _license[] SEC("license") = "Dual BSD/GPL";
