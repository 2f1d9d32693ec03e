//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// connect(): the socket of a client of a service is connected to a backend.
#include "include/balance.h"
#include "include/datagram.h"
#include "include/opening.h"
#include "include/socket.h"

static __always_inline enum verdict connect_to(struct bpf_sock_addr *ctx, struct address address, struct socket *s)
{
	struct frontend_key key = frontend_of(ctx, address);
	__u32 service = frontend_service(&key);
	__u64 cookie = bpf_get_socket_cookie(ctx);

	if (!service) {
		socket_forget(cookie);
		if (ctx->sk)
			bpf_sk_storage_delete(&socket_spill, ctx->sk);
		datagrams_go_directly(ctx, &address);
		return VERDICT_PASS;
	}
	if (keeps_out(ctx, service))
		return refuse(ERR_PERM);
	if (!flow_begin(&s->flow, &key, service, choose(ctx, &key, service, cookie)))
		return refuse(ERR_REFUSED);
	s->netns = bpf_get_netns_cookie(ctx); // Linux 5.7
	socket_keep(ctx, cookie, s);
	opening_watch(ctx, service, s->flow.reference);
	return VERDICT_REWRITE;
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	struct socket s;
	enum verdict verdict = connect_to(ctx, address_load4(ctx), &s);

	if (verdict == VERDICT_REWRITE)
		address_store4(ctx, &s.flow.backend, s.flow.backend_port);
	return verdict != VERDICT_REFUSE;
}

// The backend is of the frontend's family, so it fits into the socket's.
SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	struct socket s;
	enum verdict verdict = connect_to(ctx, address_load6(ctx), &s);

	if (verdict == VERDICT_REWRITE)
		address_store6(ctx, &s.flow.backend, s.flow.backend_port);
	return verdict != VERDICT_REFUSE;
}

char _license[] SEC("license") = "Dual BSD/GPL";
