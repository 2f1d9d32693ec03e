//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// sendto() and sendmsg() with an address: a datagram of a UDP socket goes to
// the backend with which the socket already talks under this frontend, or to a
// new one.
#include "include/balance.h"
#include "include/datagram.h"

// flow_goes_on says whether the conversation's backend still may be used.
static __always_inline bool flow_goes_on(const struct flow *f, const struct frontend_key *key, __u32 service)
{
	__u64 head;
	struct backend *b = reference_backend(f->reference, &head);

	return b && f->service == service &&
	       backend_standing(b, head, service, address_is_v4(&key->address)) >= STANDING_DRAINING;
}

static __always_inline enum verdict send_to(struct bpf_sock_addr *ctx, struct address address, struct flow *flow)
{
	struct frontend_key key = frontend_of(ctx, address);
	__u32 service = frontend_service(&key);

	if (!service || !ctx->sk) {
		datagrams_go_directly(ctx, &address);
		return VERDICT_PASS;
	}

	if (keeps_out(ctx, service))
		return refuse(ERR_PERM);

	struct conversations *c = bpf_sk_storage_get(&datagrams, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);

	// Without a place to note it the answer would come from a stranger.
	if (!c)
		return refuse(ERR_NOMEM);
	if (conversations_to(c, &key, flow) && flow_goes_on(flow, &key, service)) {
		count(COUNTER_STICKY);
		return VERDICT_REWRITE;
	}
	if (!flow_begin(flow, &key, service, choose(ctx, &key, service, bpf_get_socket_cookie(ctx))))
		return refuse(ERR_REFUSED);
	conversations_put(c, &key, flow);
	return VERDICT_REWRITE;
}

// Also for IPv4 through an AF_INET6 socket, which the kernel sends as IPv4.
SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx)
{
	struct flow flow = {};
	enum verdict verdict = send_to(ctx, address_load4(ctx), &flow);

	if (verdict == VERDICT_REWRITE)
		address_store4(ctx, &flow.backend, flow.backend_port);
	return verdict != VERDICT_REFUSE;
}

SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *ctx)
{
	struct flow flow = {};
	enum verdict verdict = send_to(ctx, address_load6(ctx), &flow);

	if (verdict == VERDICT_REWRITE)
		address_store6(ctx, &flow.backend, flow.backend_port);
	return verdict != VERDICT_REFUSE;
}

char _license[] SEC("license") = "Dual BSD/GPL";
