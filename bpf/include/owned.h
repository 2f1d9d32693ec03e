// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Addresses that the packet path looks at: packets to all others are passed over.
#pragma once

#include "address.h"

enum owned_flags {
	OWNED_NODE = 1 << 0,    // of the node: answers to what we forwarded come here
	OWNED_SERVICE = 1 << 1, // of services: nothing else has it, but for the other flags
	OWNED_PINGED = 1 << 2,  // of a service that has a backend
	OWNED_SHARED = 1 << 3,  // of services, and of others: what no service has is theirs
	OWNED_PEER = 1 << 4,    // of another node, which may send clients' packets in tunnels
};

// The kernel may give a reader the flags of another address, for the one packet that
// it looks at while the agent removes its own.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1); // set by the loader
	__type(key, struct address);
	__type(value, __u32);
} owned SEC(".maps");

// From where packets to backends elsewhere come: by family, IPv4 first; zeros where
// the node has no address of it.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct address);
} sources SEC(".maps");

static __always_inline __u32 owned_flags_of(const struct address *a)
{
	__u32 *flags = bpf_map_lookup_elem(&owned, a);

	return flags ? READ_ONCE(*flags) : 0;
}

// source_of fills in the node's address of a family; false when it has none.
static __always_inline bool source_of(bool v4, struct address *out)
{
	__u32 family = !v4;
	struct address *a = bpf_map_lookup_elem(&sources, &family);

	if (!a)
		return false;
	*out = *a;
	return out->word[0] | out->word[1] | out->word[2] | out->word[3];
}
