// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Session affinity: which backend a client had last.
#pragma once

#include "reference.h"

enum affinity_client {
	AFFINITY_ADDRESS, // client holds an address
	AFFINITY_NETNS,   // client holds the cookie of a network namespace
};

struct affinity_key {
	__u64 client[2];
	__u32 service;
	__u32 kind;
};

struct affinity {
	__u64 reference;
	__u64 last_use; // bpf_ktime_get_ns()
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); // set by the loader
	__type(key, struct affinity_key);
	__type(value, struct affinity);
} affinity SEC(".maps");

// affinity_recall returns the reference that the client holds, or 0 when it
// has none, it has expired, or its backend takes no new clients any more.
static __always_inline __u64 affinity_recall(const struct affinity_key *key, bool v4, __u64 timeout, __u64 now)
{
	struct affinity *a = bpf_map_lookup_elem(&affinity, key);

	// Another CPU may have stamped the entry after we read the clock.
	if (!a || (__s64)(now - READ_ONCE(a->last_use)) > (__s64)timeout)
		return 0;

	__u64 head, reference = READ_ONCE(a->reference);
	struct backend *b = reference_backend(reference, &head);

	// The entry's memory may have passed to another key: the standing is
	// judged for our service, so the worst is another client's backend.
	if (!b || backend_standing(b, head, key->service, v4) != STANDING_READY)
		return 0;
	WRITE_ONCE(a->last_use, now);
	return reference;
}

static __always_inline void affinity_remember(const struct affinity_key *key, __u64 reference, __u64 now)
{
	struct affinity a = { .reference = reference, .last_use = now };

	bpf_map_update_elem(&affinity, key, &a, BPF_ANY);
}
