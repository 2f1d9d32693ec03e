// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Datagrams: the flows of a UDP socket that is told an address with each.
#pragma once

#include "flow.h"

// The most frontends that one unconnected UDP socket talks to at once; of more,
// the one longest unused is forgotten.
#define DATAGRAM_FLOWS 8

// Of an unconnected UDP socket.
struct conversations {
	struct bpf_spin_lock lock;
	__u32 clock;                  // counts uses
	__u32 used[DATAGRAM_FLOWS];   // clock of the last use; 0 is an empty place
	struct flow flow[DATAGRAM_FLOWS];
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct conversations);
} datagrams SEC(".maps");

// conversations_to copies the conversation with a frontend out; false when
// there is none. Several threads may send through one socket: hence the lock,
// under which no function may be called.
static __always_inline bool conversations_to(struct conversations *c, const struct frontend_key *key, struct flow *out)
{
	bool found = false;

	bpf_spin_lock(&c->lock);
	for (int i = 0; i < DATAGRAM_FLOWS; i++) {
		if (!c->used[i] || !flow_is_to(&c->flow[i], key))
			continue;
		c->used[i] = ++c->clock;
		*out = c->flow[i];
		found = true;
		break;
	}
	bpf_spin_unlock(&c->lock);
	return found;
}

// conversations_from copies out the conversation in which a backend answers,
// the last used if it serves several frontends of this socket.
static __always_inline bool conversations_from(struct conversations *c, const struct address *address,
					       __be16 port, struct flow *out)
{
	__u32 last = 0;

	bpf_spin_lock(&c->lock);
	for (int i = 0; i < DATAGRAM_FLOWS; i++) {
		if (c->used[i] <= last || !flow_is_from(&c->flow[i], address, port))
			continue;
		last = c->used[i];
		*out = c->flow[i];
	}
	bpf_spin_unlock(&c->lock);
	return last;
}

// conversations_put stores a conversation in the place of the one with the same
// frontend, or of the one longest unused.
static __always_inline void conversations_put(struct conversations *c, const struct frontend_key *key,
					      const struct flow *f)
{
	__u32 place = 0, least = ~0U;

	bpf_spin_lock(&c->lock);
	for (int i = 0; i < DATAGRAM_FLOWS; i++) {
		__u32 used = c->used[i];

		if (used && flow_is_to(&c->flow[i], key))
			used = 0;
		if (used < least) {
			least = used;
			place = i;
		}
	}
	if (place < DATAGRAM_FLOWS) {
		c->used[place] = ++c->clock;
		c->flow[place] = *f;
	}
	bpf_spin_unlock(&c->lock);
}

// conversations_forget ends those with a backend that the socket now talks to
// by its own address: its answers are to show that address.
static __always_inline void conversations_forget(struct conversations *c, const struct address *address, __be16 port)
{
	bpf_spin_lock(&c->lock);
	for (int i = 0; i < DATAGRAM_FLOWS; i++) {
		if (flow_is_from(&c->flow[i], address, port))
			c->used[i] = 0;
	}
	bpf_spin_unlock(&c->lock);
}

// datagrams_go_directly is called when a socket is told an address that is no
// frontend.
static __always_inline void datagrams_go_directly(struct bpf_sock_addr *ctx, const struct address *address)
{
	struct conversations *c = ctx->sk ? bpf_sk_storage_get(&datagrams, ctx->sk, NULL, 0) : NULL;

	if (c)
		conversations_forget(c, address, (__be16)ctx->user_port);
}
