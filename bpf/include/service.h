// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Services: where the tables of a service lie.
#pragma once

#include "kernel.h"

enum service_flags {
	SERVICE_AFFINITY = 1 << 0, // a client stays with its backend, for affinity_seconds
	SERVICE_OUTLIERS = 1 << 1, // failed connections are counted and told
	SERVICE_DROPS = 1 << 2,    // packets without a backend are dropped: another node has one
	SERVICE_RANGES = 1 << 3,   // packets may come from its ranges alone
	SERVICE_NO_PODS = 1 << 4,  // sockets of the node's pods are refused
	SERVICE_NO_NODE = 1 << 5,  // and those of the node itself
};

// Each word is stored and loaded at once: a reader sees the old table or the
// new one. Number 0 is never used.
struct service {
	__u64 primary;  // offset in slots | size << 32; size 0 is no table
	__u64 backup;   // the same, for when nothing of primary serves
	__u64 settings; // service_flags | affinity_seconds << 32
	__u64 owner;    // whose entry it is, for the writer alone; 0 is nobody's
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); // set by the loader
	__type(key, __u32);
	__type(value, struct service);
} services SEC(".maps");

static __always_inline __u32 table_offset(__u64 word)
{
	return (__u32)word;
}

static __always_inline __u32 table_size(__u64 word)
{
	return word >> 32;
}
