// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Frontends: which service an address, port and protocol belong to.
#pragma once

#include "address.h"
#include "counter.h"

// Who asks. A frontend may lead to one service for sockets of this node and to
// another for packets from elsewhere.
enum scope {
	SCOPE_SOCKET,
	SCOPE_PACKET,
	SCOPE_TUNNEL, // packets that another node sent here: those of this node alone
};

struct frontend_key {
	struct address address;
	__be16 port;
	__u8 protocol;
	__u8 scope;
};

struct frontend {
	// The key once more: the kernel hands the memory of a deleted element out
	// at once, and a reader may be left with the value of another key.
	struct frontend_key key;
	__u32 service;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1); // set by the loader
	__type(key, struct frontend_key);
	__type(value, struct frontend);
} frontends SEC(".maps");

static __always_inline bool frontend_key_equal(const struct frontend_key *a, const struct frontend_key *b)
{
	return address_equal(&a->address, &b->address) && a->port == b->port &&
	       a->protocol == b->protocol && a->scope == b->scope;
}

// frontend_service returns the number of the service, or 0, which is none.
// An entry of another key is looked up once more; after that it counts as none
// would: the caller leaves the address as it is. (The writer lets a grace
// period pass before memory can be used again, so this is a second bolt.)
static __always_inline __u32 frontend_service(const struct frontend_key *key)
{
	for (int i = 0; i < 2; i++) {
		struct frontend *f = bpf_map_lookup_elem(&frontends, key);

		if (!f)
			return 0;

		__u32 service = READ_ONCE(f->service);

		if (frontend_key_equal(&f->key, key))
			return service;
		count(COUNTER_OTHER_KEY);
	}
	return 0;
}
