// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Backends: who can serve, and whether one may be used now.
#pragma once

#include "address.h"
#include "health.h"

enum backend_state {
	BACKEND_FREE,     // nobody; also a number that waits for its grace period
	BACKEND_ACTIVE,   // takes new clients
	BACKEND_DRAINING, // keeps the clients it has
	BACKEND_DOWN,     // does not answer, says our own verdict
	BACKEND_ENDED,    // had its time to drain: nobody keeps it
};

// Which health bit of its node, in its family, a backend depends on.
enum backend_kind {
	BACKEND_POD,  // an address of the node's pod prefixes
	BACKEND_NODE, // an address of the node itself
};

// A backend belongs to one service. Its number is written anew only after a
// grace period in which it was free, under the next generation; so whoever has
// compared the generation can read the rest.
struct backend {
	// generation | state << 32 | kind << 40 | cluster << 48, stored at once
	__u64 head;
	__u32 service;
	__u32 node; // index in node_health; 0 is unknown
	struct address address;
	__be16 port;
	__u8 protocol;
	__u8 pad;
	__u32 zone;
	// Connections that failed to open, and that were reset before a byte came,
	// in a row: counted by the programs while the service is SERVICE_OUTLIERS.
	__u32 failures;
	__u32 resets;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); // set by the loader
	__type(key, __u32);
	__type(value, struct backend);
} backends SEC(".maps");

// What a backend is good for.
enum standing {
	STANDING_GONE,     // free, ended, or no backend of this service
	STANDING_DOWN,     // down by our verdict
	STANDING_DRAINING, // for the clients it has
	STANDING_READY,
};

static __always_inline __u32 head_generation(__u64 head)
{
	return (__u32)head;
}

static __always_inline __u32 head_state(__u64 head)
{
	return (head >> 32) & 0xff;
}

static __always_inline __u32 head_kind(__u64 head)
{
	return (head >> 40) & 0xff;
}

static __always_inline __u32 head_cluster(__u64 head)
{
	return head >> 48;
}

// backend_lost says whether our verdict about its node or its cluster holds a backend
// down, whatever it is itself.
static __always_inline bool backend_lost(const struct backend *b, __u64 head, bool v4)
{
	return cluster_down(head_cluster(head), v4) ||
	       node_down(b->node, head_kind(head) == BACKEND_NODE ? HEALTH_NODE_DOWN : HEALTH_PODS_DOWN, v4);
}

// backend_standing judges one entry for a service and a family. The head was
// loaded once by the caller.
static __always_inline enum standing backend_standing(const struct backend *b, __u64 head, __u32 service, bool v4)
{
	__u32 state = head_state(head);

	if (state == BACKEND_FREE || state == BACKEND_ENDED || b->service != service || address_is_v4(&b->address) != v4)
		return STANDING_GONE;
	if (state == BACKEND_DOWN || backend_lost(b, head, v4))
		return STANDING_DOWN;
	return state == BACKEND_DRAINING ? STANDING_DRAINING : STANDING_READY;
}
