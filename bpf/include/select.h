// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Selection: a hash leads to a slot, the slot to a backend, and what is down
// is passed over.
#pragma once

#include "counter.h"
#include "reference.h"
#include "service.h"
#include "slot.h"

// The two bounds keep a selection short, and the verifier's work with it. Eight
// hashes find a live backend in all but 0.4 % of the cases when half are down;
// the walk is for tables of which little is left, until the agent has built
// them anew.
#define SELECT_HASHES 8
#define SELECT_WALK 64

struct query {
	__u64 hash;
	__u64 first; // out: reference to the first that was passed over as down
	__u32 service;
	bool v4;
};

// mix spreads every bit of x over the result (MurmurHash3's finalizer).
static __always_inline __u64 mix(__u64 x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ULL;
	return x ^ x >> 33;
}

// slot_try returns a reference to the slot's backend if it is ready, or 0.
static __always_inline __u64 slot_try(struct query *q, __u32 slot)
{
	__u32 number = slot_backend(slot);
	struct backend *b = bpf_map_lookup_elem(&backends, &number);

	if (!b || !number)
		return 0;

	__u64 head = READ_ONCE(b->head);

	switch (backend_standing(b, head, q->service, q->v4)) {
	case STANDING_READY:
		return reference_to(number, head);
	case STANDING_DOWN:
		if (!q->first)
			q->first = reference_to(number, head);
		return 0;
	case STANDING_GONE:
		count(COUNTER_STALE);
	default:
		return 0;
	}
}

// slot_try_again is slot_try for a loop. As a global function it is verified once,
// for any argument, and not anew for every turn, which would be millions of
// instructions (global functions need Linux 5.6, pointers to structs 5.12).
__noinline __u64 slot_try_again(struct query *q, __u32 slot)
{
	return q ? slot_try(q, slot) : 0;
}

static __always_inline __u32 slot_of(__u64 hash, __u32 size)
{
	return (hash >> 32) * size >> 32;
}

// table_find returns a reference to a ready backend of one table, or 0; the first
// choice is passed over if the caller has tried it. Bounded loops need Linux 5.3.
__noinline __u64 table_find(struct query *q, __u64 table, bool tried)
{
	if (!q)
		return 0;

	__u32 offset = table_offset(table), size = table_size(table), slot = 0;
	__u64 hash = q->hash;

	if (!size)
		return 0;
	for (int i = 0; i < SELECT_HASHES; i++) {
		slot = slot_of(hash, size);
		__u64 found = i || !tried ? slot_try_again(q, offset + slot) : 0;

		if (found)
			return found;
		hash = mix(hash);
	}
	for (__u32 i = 1; i <= SELECT_WALK; i++) {
		__u64 found = slot_try_again(q, offset + (slot + i) % size);

		if (found)
			return found;
	}
	return 0;
}

// select returns a reference to the backend that serves, or 0 when there is
// none. When all that was tried is down by our own verdict, the first choice is
// tried anyway: our eyes may be wrong.
static __always_inline __u64 select(struct query *q, const struct service *s)
{
	__u64 primary = READ_ONCE(s->primary);
	__u32 size = table_size(primary);
	// Nearly always the first choice serves: that way calls no function.
	__u64 found = size ? slot_try(q, table_offset(primary) + slot_of(q->hash, size)) : 0;

	if (found) {
		count(COUNTER_SELECTED);
		return found;
	}
	found = table_find(q, primary, true);
	if (found) {
		count(q->first ? COUNTER_REHASHED : COUNTER_SELECTED);
		return found;
	}
	found = table_find(q, READ_ONCE(s->backup), false);
	if (found) {
		count(COUNTER_BACKUP);
		return found;
	}
	if (q->first)
		count(COUNTER_PANIC);
	return q->first;
}
