// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Slots: the Maglev tables of all services, one after the other.
#pragma once

#include "kernel.h"

// Two slots: the kernel rounds the values of an array up to 8 bytes.
struct slots {
	__u32 backend[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); // set by the loader
	__type(key, __u32);
	__type(value, struct slots);
} slots SEC(".maps");

// slot_backend returns the number of the backend in a slot, or 0, which is none.
static __always_inline __u32 slot_backend(__u32 slot)
{
	__u32 pair = slot >> 1;
	struct slots *s = bpf_map_lookup_elem(&slots, &pair);

	return s ? READ_ONCE(s->backend[slot & 1]) : 0;
}
