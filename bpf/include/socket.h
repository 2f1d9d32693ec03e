// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Sockets: the flow of each that is connected to a backend, by the socket's
// cookie, which the kernel gives to no other while it runs.
//
// They lie in an array that is used as a processor's cache is: a cookie may lie
// in any of the places of its set. Cookies are given out one after the other, so
// sockets fill the sets evenly, and one's place is next to the last one's. The
// flow of a socket that finds its set full lies in the socket's own storage;
// that for all would be simpler, but to allocate it is most of what connect()
// would then cost, and a hash costs as much in misses of the cache.
#pragma once

#include "flow.h"

#define SOCKET_WAYS 8

// A place that is being written. Cookies do not get that high.
#define SOCKET_BUSY (1ULL << 63)

// Which cookies' sockets are in the places of a set; 0 is nobody's.
struct socket_set {
	__u64 cookie[SOCKET_WAYS];
};

// Place w of set i is number i * SOCKET_WAYS + w.
struct socket {
	__u64 netns; // cookie of the network namespace that the socket is in
	struct flow flow;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); // set by the loader
	__type(key, __u32);
	__type(value, struct socket_set);
} socket_sets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); // set by the loader
	__type(key, __u32);
	__type(value, struct socket);
} sockets SEC(".maps");

// Of a socket whose set was full, or that was connected under layout v1, where
// all of them lay in their own storage.
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct flow);
} socket_spill SEC(".maps");

// What the iterator over them tells of each.
struct spilled_socket {
	__u64 cookie;
	struct socket socket;
};

// One less than the number of sets, which is a power of two; set by the loader.
const volatile __u32 socket_mask = 0;

// Whether a processor's stores are seen in the order in which it makes them, as
// those of x86 are: then none has to wait for the others; set by the loader.
const volatile bool stores_in_order = false;

static __always_inline struct socket_set *socket_set_of(__u64 cookie, __u32 *index)
{
	*index = cookie & socket_mask;
	return bpf_map_lookup_elem(&socket_sets, index);
}

static __always_inline struct socket *socket_at(__u32 set, __u32 way)
{
	__u32 number = set * SOCKET_WAYS + way;

	return bpf_map_lookup_elem(&sockets, &number);
}

// socket_way returns the place of a cookie, or SOCKET_WAYS.
static __always_inline __u32 socket_way(struct socket_set *set, __u64 cookie)
{
	for (__u32 w = 0; w < SOCKET_WAYS; w++) {
		if (READ_ONCE(set->cookie[w]) == cookie)
			return w;
	}
	return SOCKET_WAYS;
}

// socket_take makes the cookie's place, or a free one, busy in its name, and
// returns it; SOCKET_WAYS when the set is full.
static __always_inline __u32 socket_take(struct socket_set *set, __u64 cookie)
{
	__u32 way = socket_way(set, cookie);

	if (way < SOCKET_WAYS) {
		__sync_lock_test_and_set(&set->cookie[way], cookie | SOCKET_BUSY); // a barrier as well
		return way;
	}
	for (__u32 w = 0; w < SOCKET_WAYS; w++) {
		if (!READ_ONCE(set->cookie[w]) &&
		    !__sync_val_compare_and_swap(&set->cookie[w], 0, cookie | SOCKET_BUSY)) // Linux 5.12
			return w;
	}
	return SOCKET_WAYS;
}

// socket_forget is called when a socket is closed, or is connected to what is no
// frontend: it may have been connected before, a UDP socket or a TCP socket that
// failed.
static __always_inline void socket_forget(__u64 cookie)
{
	__u32 index;
	struct socket_set *set = socket_set_of(cookie, &index);
	__u32 way = set ? socket_way(set, cookie) : SOCKET_WAYS;

	if (way < SOCKET_WAYS)
		WRITE_ONCE(set->cookie[way], 0);
}

static __always_inline void socket_spilled(struct bpf_sock *sk, const struct flow *f)
{
	struct flow *kept = sk ? bpf_sk_storage_get(&socket_spill, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE) : NULL;

	count(kept ? COUNTER_SPILLED : COUNTER_UNNOTED);
	if (kept)
		*kept = *f;
}

// socket_keep notes the flow of a socket. One for which there is no memory is
// connected all the same: it shows its backend, which is no lie.
static __always_inline void socket_keep(struct bpf_sock_addr *ctx, __u64 cookie, const struct socket *s)
{
	__u32 index;
	struct socket_set *set = socket_set_of(cookie, &index);
	__u32 way = set ? socket_take(set, cookie) : SOCKET_WAYS;
	struct socket *kept = socket_at(index, way);

	if (way == SOCKET_WAYS || !set || !kept) {
		socket_spilled(ctx->sk, &s->flow);
		return;
	}
	*kept = *s;
	if (stores_in_order) {
		barrier();
		WRITE_ONCE(set->cookie[way], cookie);
	} else {
		__sync_lock_test_and_set(&set->cookie[way], cookie); // a barrier as well
	}
}

// socket_refers says whether a socket was last led to what a reference leads to.
static __always_inline bool socket_refers(__u64 cookie, struct bpf_sock *sk, __u64 reference)
{
	__u32 index;
	struct socket_set *set = socket_set_of(cookie, &index);
	__u32 way = set ? socket_way(set, cookie) : SOCKET_WAYS;
	struct socket *s = socket_at(index, way);

	if (way < SOCKET_WAYS && s)
		return s->flow.reference == reference;

	struct flow *f = bpf_sk_storage_get(&socket_spill, sk, NULL, 0);

	return f && f->reference == reference;
}

// socket_flow copies out the flow of a connected socket if its backend has this
// address and port, which are those of its peer.
static __always_inline bool socket_flow(struct bpf_sock_addr *ctx, const struct address *peer, __be16 port, struct flow *out)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	__u32 index;
	struct socket_set *set = socket_set_of(cookie, &index);
	__u32 way = set ? socket_way(set, cookie) : SOCKET_WAYS;
	struct socket *s = socket_at(index, way);

	if (way < SOCKET_WAYS && set && s) {
		*out = s->flow;
		// A barrier as well: another thread may be connecting the socket.
		if (__sync_fetch_and_add(&set->cookie[way], 0) != cookie)
			return false;
		return flow_is_from(out, peer, port);
	}

	struct flow *f = ctx->sk ? bpf_sk_storage_get(&socket_spill, ctx->sk, NULL, 0) : NULL;

	if (!f)
		return false;
	*out = *f;
	return flow_is_from(out, peer, port);
}
