// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Fragments: only the first of a packet has ports; they are remembered for those
// that follow it.
#pragma once

#include "tuple.h"

struct fragment_key {
	struct address source, destination;
	__be32 id;
	__u8 protocol;
	__u8 pad[3]; // 0
};

struct fragment {
	// The key once more, as in struct frontend.
	struct fragment_key key;
	__be16 source_port, destination_port;
	__u32 pad;
	__u64 seen; // bpf_ktime_get_ns()
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 13);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
} fragments SEC(".maps");

// An id comes again: what is older than the kernel's own patience
// (net.ipv4.ipfrag_time) belongs to another packet.
#define FRAGMENT_NS 30000000000ULL

static __always_inline void fragment_remember(const struct fragment_key *key, const struct tuple *t)
{
	struct fragment f = {
		.key = *key,
		.source_port = t->source_port,
		.destination_port = t->destination_port,
		.seen = bpf_ktime_get_ns(),
	};

	bpf_map_update_elem(&fragments, key, &f, BPF_ANY);
}

// fragment_recall fills in the ports; false when the first was not seen.
static __always_inline bool fragment_recall(const struct fragment_key *key, struct tuple *t)
{
	struct fragment *f = bpf_map_lookup_elem(&fragments, key);

	if (!f)
		return false;
	t->source_port = f->source_port;
	t->destination_port = f->destination_port;
	return address_equal(&f->key.source, &key->source) && address_equal(&f->key.destination, &key->destination) &&
	       f->key.id == key->id && f->key.protocol == key->protocol &&
	       (__s64)(bpf_ktime_get_ns() - f->seen) < (__s64)FRAGMENT_NS;
}
