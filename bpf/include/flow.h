// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Flows: what a socket was told and what it really talks to.
#pragma once

#include "frontend.h"
#include "reference.h"

// One conversation of a socket with a frontend.
struct flow {
	struct address frontend;
	struct address backend;
	__be16 frontend_port;
	__be16 backend_port;
	__u32 service;
	__u64 reference;
};

// flow_is_from says whether an address and port are those of the backend.
static __always_inline bool flow_is_from(const struct flow *f, const struct address *address, __be16 port)
{
	return f->backend_port == port && address_equal(&f->backend, address);
}

static __always_inline bool flow_is_to(const struct flow *f, const struct frontend_key *key)
{
	return f->frontend_port == key->port && address_equal(&f->frontend, &key->address);
}
