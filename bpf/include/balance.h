// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Balancing a socket: the steps that connect and sendmsg share.
#pragma once

#include "affinity.h"
#include "flow.h"
#include "select.h"

// Whether the kernel has bpf_set_retval for these hooks (Linux 5.18; set by the
// loader). Without it a refusal is EPERM.
const volatile bool can_set_retval = true;

// The network namespace of the node; set by the loader.
const volatile __u64 node_netns = 0;

// What a hook does with the call.
enum verdict {
	VERDICT_PASS,    // the address is no frontend: not ours
	VERDICT_REWRITE, // a backend was chosen: put it in
	VERDICT_REFUSE,  // the call fails
};

static __always_inline struct frontend_key frontend_of(struct bpf_sock_addr *ctx, struct address address)
{
	return (struct frontend_key){
		.address = address,
		.port = (__be16)ctx->user_port,
		.protocol = ctx->protocol, // a subflow's for MPTCP, so TCP
		.scope = SCOPE_SOCKET,
	};
}

static __always_inline enum verdict refuse(int error)
{
	count(error == ERR_NOMEM ? COUNTER_OUT_OF_MEMORY : COUNTER_REFUSED);
	if (can_set_retval)
		bpf_set_retval(-error);
	return VERDICT_REFUSE;
}

// keeps_out says whether a service is not for the client: what address it will have is
// not known yet, but whether that is one of the node or of its pods.
static __always_inline bool keeps_out(struct bpf_sock_addr *ctx, __u32 service)
{
	struct service *s = bpf_map_lookup_elem(&services, &service);
	__u64 settings = s ? READ_ONCE(s->settings) : 0;

	if (!(settings & (SERVICE_NO_PODS | SERVICE_NO_NODE)))
		return false;
	return settings & (bpf_get_netns_cookie(ctx) == node_netns ? SERVICE_NO_NODE : SERVICE_NO_PODS);
}

static __always_inline __u64 hash_of(__u64 client, const struct frontend_key *key)
{
	const struct address *a = &key->address;
	__u64 high = (__u64)a->word[0] << 32 | a->word[1];
	__u64 low = (__u64)a->word[2] << 32 | a->word[3];

	return mix(mix(client ^ high) ^ low ^ (__u64)key->port << 16 ^ key->protocol);
}

// choose_affine is choose for a service that keeps its clients: the pods of a
// network namespace are one client.
static __always_inline __u64 choose_affine(struct bpf_sock_addr *ctx, const struct service *s,
					   struct query *q, const struct frontend_key *key, __u64 seconds)
{
	__u64 client = bpf_get_netns_cookie(ctx); // Linux 5.7
	__u64 now = bpf_ktime_get_ns();
	struct affinity_key a = { .client = { client }, .service = q->service, .kind = AFFINITY_NETNS };
	__u64 reference = affinity_recall(&a, q->v4, seconds * 1000000000, now);

	if (reference) {
		count(COUNTER_AFFINITY);
		return reference;
	}
	q->hash = hash_of(client, key);
	reference = select(q, s);
	if (reference)
		affinity_remember(&a, reference, now);
	return reference;
}

// choose returns a reference to the backend for this socket and frontend, or 0
// when the service has none. No source port is known yet, so the socket's
// cookie stands for it.
static __always_inline __u64 choose(struct bpf_sock_addr *ctx, const struct frontend_key *key, __u32 service, __u64 cookie)
{
	struct service *s = bpf_map_lookup_elem(&services, &service);
	struct query q = { .service = service, .v4 = address_is_v4(&key->address) };

	if (!s)
		return 0;

	__u64 settings = READ_ONCE(s->settings);

	if (settings & SERVICE_AFFINITY)
		return choose_affine(ctx, s, &q, key, settings >> 32);
	q.hash = hash_of(cookie, key);
	return select(&q, s);
}

// flow_begin fills in a conversation with the backend that a reference leads
// to; false when it leads to none.
static __always_inline bool flow_begin(struct flow *f, const struct frontend_key *key, __u32 service, __u64 reference)
{
	__u64 head;
	struct backend *b = reference_backend(reference, &head);

	if (!b)
		return false;
	*f = (struct flow){
		.frontend = key->address,
		.backend = b->address,
		.frontend_port = key->port,
		.backend_port = b->port,
		.service = service,
		.reference = reference,
	};
	return true;
}
