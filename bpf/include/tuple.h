// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Tuples: by what the packets of a flow in one direction are known.
#pragma once

#include "address.h"

struct tuple {
	struct address source, destination;
	__be16 source_port, destination_port;
	__u8 protocol; // IPPROTO_TCP or IPPROTO_UDP
	__u8 pad[3];   // 0
} __attribute__((aligned(8))); // so that it is copied and compared by whole words

static __always_inline bool tuple_equal(const struct tuple *a, const struct tuple *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4]));
}

// tuple_reversed returns the tuple of the packets that go the other way.
static __always_inline struct tuple tuple_reversed(const struct tuple *t)
{
	return (struct tuple){
		.source = t->destination,
		.destination = t->source,
		.source_port = t->destination_port,
		.destination_port = t->source_port,
		.protocol = t->protocol,
	};
}
