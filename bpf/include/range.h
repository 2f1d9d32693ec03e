// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Ranges: from where clients may come to a service that does not let all in.
#pragma once

#include "address.h"
#include "service.h"

// The longest prefix that matches is found, and any is enough. The family is part of
// the key, for ::/0 would be all of IPv4 too.
struct range_key {
	__u32 bits; // of what follows
	__u32 service;
	__u32 family;
	struct address address;
};

#define RANGE_BITS (8 * (sizeof(struct range_key) - sizeof(__u32)))

struct range {
	__u32 service; // of the key, once more: see struct frontend
};

// This map came after the others of its layout: where it is missing it is made beside
// them.
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1); // set by the loader
	__type(key, struct range_key);
	__type(value, struct range);
} ranges SEC(".maps");

// range_has says whether a client may come to a service from an address.
static __always_inline bool range_has(__u32 service, const struct address *client)
{
	struct range_key key = {
		.bits = RANGE_BITS,
		.service = service,
		.family = address_is_v4(client) ? AF_INET : AF_INET6,
		.address = *client,
	};
	struct range *r = bpf_map_lookup_elem(&ranges, &key);

	return r && r->service == service;
}
