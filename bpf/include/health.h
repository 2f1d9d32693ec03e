// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Health: what we found out ourselves about nodes and whole clusters. Zero is
// "not known to be down"; numbers out of range are never down.
#pragma once

#include "kernel.h"

// Each address family has bits of its own, since the way to a node may be lost in
// one alone.
enum health_bits {
	HEALTH_DOWN = 1 << 0,      // of a cluster
	HEALTH_NODE_DOWN = 1 << 0, // of a node: its own addresses do not answer
	HEALTH_PODS_DOWN = 1 << 1, // of a node: its pods' prefix does not answer
	HEALTH_V4 = 3 << 0,        // those above are about IPv4
	HEALTH_V6 = 3 << 2,        // these, by HEALTH_V6_SHIFT higher, about IPv6
	HEALTH_SELF = 1 << 4,      // no verdict: the node is this one
};

#define HEALTH_V6_SHIFT 2

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); // set by the loader
	__type(key, __u32);
	__type(value, __u64);
} cluster_health SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); // set by the loader
	__type(key, __u32);
	__type(value, __u64);
} node_health SEC(".maps");

static __always_inline bool cluster_down(__u32 cluster, bool v4)
{
	__u64 *h = bpf_map_lookup_elem(&cluster_health, &cluster);

	return h && READ_ONCE(*h) >> (v4 ? 0 : HEALTH_V6_SHIFT) & HEALTH_DOWN;
}

static __always_inline bool node_down(__u32 node, __u64 bit, bool v4)
{
	__u64 *h = bpf_map_lookup_elem(&node_health, &node);

	return h && READ_ONCE(*h) >> (v4 ? 0 : HEALTH_V6_SHIFT) & bit;
}

// node_is_this says whether a node is the one that the program runs on. A number
// without a name is none.
static __always_inline bool node_is_this(__u32 node)
{
	__u64 *h = bpf_map_lookup_elem(&node_health, &node);

	return h && node && READ_ONCE(*h) & HEALTH_SELF;
}
