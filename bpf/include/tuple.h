// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Tuples: by what the packets of a flow in one direction are known.
#pragma once

#include "address.h"

struct tuple {
	struct address source, destination;
	__be16 source_port, destination_port;
	__u8 protocol; // IPPROTO_TCP or IPPROTO_UDP
	__u8 pad[3];   // 0
};

static __always_inline bool tuple_equal(const struct tuple *a, const struct tuple *b)
{
	return address_equal(&a->source, &b->source) && address_equal(&a->destination, &b->destination) &&
	       a->source_port == b->source_port && a->destination_port == b->destination_port &&
	       a->protocol == b->protocol;
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
