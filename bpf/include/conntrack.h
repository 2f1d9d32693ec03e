// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Conntrack: the flows that packets belong to. Each has two entries that name each
// other: in conntrack by the client's packets, in nat by the backend's. What does
// not name its entry back is none: the kernel gives the memory of an entry away
// under its readers, and takes either of the two when the maps are full.
//
// A flow begins in maps of their own (unanswered, unanswered_nat), and moves to the others
// with the client's first packet after an answer: whoever sends no more than the first,
// as in a flood of SYNs, pushes out its like alone.
//
// These maps have a layout version of their own and outlive upgrades: fields are
// only added, in what is reserved.
#pragma once

#include <linux/in.h>

#include "outcome.h"
#include "reference.h"
#include "tuple.h"

enum flow_flags {
	FLOW_LOCAL = 1 << 0,       // the backend is on this node, and sees the client's address
	FLOW_ANSWERED = 1 << 1,    // the backend has answered: of TCP, the last SYN
	FLOW_FIN_CLIENT = 1 << 2,  // TCP: the client has ended its direction
	FLOW_FIN_BACKEND = 1 << 3, // the backend its own
	FLOW_CUT = 1 << 4,         // one of them sent a reset
	FLOW_ANYWAY = 1 << 5,      // it began although our verdict holds its backend for down
	FLOW_TUNNEL = 1 << 6,      // its packets go to the backend's node in a tunnel, and no answer comes here
	FLOW_SETTLED = 1 << 7,     // it is in conntrack and nat
};

// Which way a flow remembers, see way.h.
enum flow_way {
	WAY_OUT, // that of the client's packets
	WAY_BACK,
};

// By the tuple of the client's packets.
struct conntrack {
	struct tuple reply; // that of the backend's packets: the key in nat
	__u64 reference;    // to the backend
	__u64 seen;         // by bpf_ktime_get_coarse_ns(), when a packet of the last second or so came
	__u32 service;
	__u32 flags; // flow_flags
	__u32 syn;   // TCP: the sequence number of the client's last SYN
	__u32 ways[2]; // by flow_way
	__u32 reserved[1];
};

// By the tuple of the backend's packets.
struct nat {
	struct tuple flow; // that of the client's packets: the key in conntrack
	__u64 born;        // by bpf_ktime_get_coarse_ns()
	__u64 reserved[1];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); // set by the loader
	__type(key, struct tuple);
	__type(value, struct conntrack);
} conntrack SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); // set by the loader
	__type(key, struct tuple);
	__type(value, struct nat);
} nat SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); // set by the loader
	__type(key, struct tuple);
	__type(value, struct conntrack);
} unanswered SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); // set by the loader
	__type(key, struct tuple);
	__type(value, struct nat);
} unanswered_nat SEC(".maps");

#define SECOND 1000000000ULL

// After so long without a packet a flow forgets its ways.
#define SILENCE (2 * SECOND)

// How long a flow keeps its port, without packets, from another flow that could
// not have one else.
#define LIFE_OPENING (60 * SECOND)       // TCP without an answer: SYNs are repeated so long
#define LIFE_OPEN (8000 * SECOND)        // TCP: more than the usual two hours between keepalives
#define LIFE_CLOSED (10 * SECOND)        // TCP after both ends, or a reset
#define LIFE_WAIT (60 * SECOND)          // the same, while there is another: the backend may be in TIME_WAIT
#define LIFE_DATAGRAM (30 * SECOND)      // UDP without an answer
#define LIFE_CONVERSATION (180 * SECOND) // UDP

// flow_of_client returns the entry of a flow in a pair of maps by the tuple of the client's
// packets, and the other tuple; NULL when there is none.
static __always_inline struct conntrack *flow_of_client(void *flows, void *nats, const struct tuple *client, struct tuple *reply)
{
	struct conntrack *c = bpf_map_lookup_elem(flows, client);
	struct nat *n;

	if (!c)
		return NULL;
	*reply = c->reply;
	n = bpf_map_lookup_elem(nats, reply);
	return n && tuple_equal(&n->flow, client) ? c : NULL;
}

// flow_begun_by is flow_of_client of flows that are not answered.
static __always_inline struct conntrack *flow_begun_by(const struct tuple *client, struct tuple *reply)
{
	return flow_of_client(&unanswered, &unanswered_nat, client, reply);
}

static __always_inline struct conntrack *flow_by_client(const struct tuple *client, struct tuple *reply)
{
	struct conntrack *c = flow_of_client(&conntrack, &nat, client, reply);

	return c ? c : flow_begun_by(client, reply);
}

// flow_of_backend is flow_of_client by the tuple of the backend's packets.
static __always_inline struct conntrack *flow_of_backend(void *flows, void *nats, const struct tuple *reply, struct tuple *client)
{
	struct nat *n = bpf_map_lookup_elem(nats, reply);
	struct conntrack *c;

	if (!n)
		return NULL;
	*client = n->flow;
	c = bpf_map_lookup_elem(flows, client);
	return c && tuple_equal(&c->reply, reply) ? c : NULL;
}

static __always_inline struct conntrack *flow_by_backend(const struct tuple *reply, struct tuple *client)
{
	struct conntrack *c = flow_of_backend(&conntrack, &nat, reply, client);

	return c ? c : flow_of_backend(&unanswered, &unanswered_nat, reply, client);
}

static __always_inline bool flow_is_closed(__u32 flags)
{
	const __u32 both = FLOW_FIN_CLIENT | FLOW_FIN_BACKEND;

	return flags & FLOW_CUT || (flags & both) == both;
}

static __always_inline __u64 flow_life(__u32 flags, __u8 protocol)
{
	if (protocol == IPPROTO_UDP)
		return flags & FLOW_ANSWERED ? LIFE_CONVERSATION : LIFE_DATAGRAM;
	if (flow_is_closed(flags))
		return LIFE_CLOSED;
	return flags & FLOW_ANSWERED ? LIFE_OPEN : LIFE_OPENING;
}

// Another CPU may have stamped the entry after we read the clock.
static __always_inline bool flow_is_over(const struct conntrack *c, __u8 protocol, __u64 now)
{
	return (__s64)(now - READ_ONCE(c->seen)) > (__s64)flow_life(READ_ONCE(c->flags), protocol);
}

// flow_waits says whether the backend of a closed connection may hold its port still.
static __always_inline bool flow_waits(const struct conntrack *c, __u8 protocol, __u64 now)
{
	return protocol == IPPROTO_TCP && flow_is_closed(READ_ONCE(c->flags)) &&
	       (__s64)(now - READ_ONCE(c->seen)) <= (__s64)LIFE_WAIT;
}

// flow_sees takes note of a packet. Entries are written only when something changes,
// so that the packets of a flow on several CPUs do not fight for its memory.
static __always_inline void flow_sees(struct conntrack *c, __u32 flags, __u64 now)
{
	__u32 have = READ_ONCE(c->flags);
	__s64 silent = now - READ_ONCE(c->seen);

	if ((have | flags) != have)
		__sync_fetch_and_or(&c->flags, flags); // Linux 5.12
	if (silent <= (__s64)SECOND)
		return;
	if (silent >= (__s64)SILENCE)
		c->ways[WAY_OUT] = c->ways[WAY_BACK] = 0;
	WRITE_ONCE(c->seen, now);
}

// flow_way returns what the flow of an answer's tuple remembers of its way in one direction,
// 0 for nothing; what it remembers counts time in few bits, and says nothing after a silence.
// The entry may be another flow's by now: its tuple is looked at last.
static __always_inline __u32 flow_way(const struct conntrack *c, const struct tuple *reply, enum flow_way direction, __u64 now)
{
	__u32 way = (__s64)(now - READ_ONCE(c->seen)) < (__s64)SILENCE ? READ_ONCE(c->ways[direction]) : 0;

	barrier();
	return tuple_equal(&c->reply, reply) ? way : 0;
}

// flow_goes has a flow remember a way, unless the entry is another's by now.
static __always_inline void flow_goes(struct conntrack *c, const struct tuple *reply, __u32 way, __u32 direction)
{
	if (!tuple_equal(&c->reply, reply))
		return;
	WRITE_ONCE(c->ways[direction & 1], way);
	barrier();
	if (!tuple_equal(&c->reply, reply))
		WRITE_ONCE(c->ways[direction & 1], 0);
}

// flow_opens takes note of a client's SYN.
static __always_inline void flow_opens(struct conntrack *c, __u32 syn)
{
	if (READ_ONCE(c->syn) != syn)
		WRITE_ONCE(c->syn, syn);
}

// flow_is_unanswered takes note that a pod has another connection at the addresses and
// ports of the flow: what it sends from here on is not of this one. Packets to the node's
// own address prove nothing: anybody may have sent them.
static __always_inline void flow_is_unanswered(struct conntrack *c)
{
	if ((READ_ONCE(c->flags) & (FLOW_LOCAL | FLOW_ANSWERED)) == (FLOW_LOCAL | FLOW_ANSWERED))
		__sync_fetch_and_and(&c->flags, ~FLOW_ANSWERED);
}

// flow_forget takes a flow out of the maps.
static __always_inline void flow_forget(const struct tuple *client, const struct tuple *reply)
{
	bpf_map_delete_elem(&unanswered, client);
	bpf_map_delete_elem(&unanswered_nat, reply);
	bpf_map_delete_elem(&conntrack, client);
	bpf_map_delete_elem(&nat, reply);
}

// flow_settles says whether a flow is answered that did not move yet.
static __always_inline bool flow_settles(const struct conntrack *c)
{
	return (READ_ONCE(c->flags) & (FLOW_ANSWERED | FLOW_SETTLED)) == FLOW_ANSWERED;
}

// flow_settle moves a flow that is answered to where its like push nothing out that is
// not. The entry of a port has to be there first, for answers.
static __noinline __unused void flow_settle(const struct tuple *client, const struct tuple *reply, struct conntrack *c, __u64 now)
{
	struct conntrack entry = *c, *settled;
	struct nat n = { .flow = *client, .born = now }, *old;

	entry.flags |= FLOW_SETTLED;
	if (bpf_map_update_elem(&nat, reply, &n, BPF_NOEXIST))
		return; // another CPU is about it, or there is no room: it stays
	// If the old one was pushed out just now, another flow may have the port.
	old = bpf_map_lookup_elem(&unanswered_nat, reply);
	if (!old || !tuple_equal(&old->flow, client) || bpf_map_update_elem(&conntrack, client, &entry, BPF_ANY)) {
		bpf_map_delete_elem(&nat, reply);
		return;
	}
	settled = bpf_map_lookup_elem(&conntrack, client);
	if (settled) // what an answer changed meanwhile
		flow_sees(settled, READ_ONCE(c->flags), now);
	bpf_map_delete_elem(&unanswered, client);
	bpf_map_delete_elem(&unanswered_nat, reply);
}

// flow_backend returns the flow's backend, or NULL when that is not who it was.
static __always_inline struct backend *flow_backend(const struct conntrack *c, const struct tuple *reply, __u64 *head)
{
	struct backend *b = reference_backend(READ_ONCE(c->reference), head);

	return b && b->service == READ_ONCE(c->service) && b->port == reply->source_port &&
	       address_equal(&b->address, &reply->source) ? b : NULL;
}

// flow_may_answer says whether who sends as the flow's backend is that: the address and
// port may be another's by now. One that takes no packet any more may still answer; but
// of one that has ended the address is free, and nothing tells whose a datagram is.
static __always_inline bool flow_may_answer(const struct conntrack *c, const struct tuple *reply, __u64 now)
{
	__u64 head;

	if (READ_ONCE(c->flags) & FLOW_TUNNEL || !flow_backend(c, reply, &head) || flow_is_over(c, reply->protocol, now))
		return false;
	return head_state(head) != BACKEND_FREE && (head_state(head) != BACKEND_ENDED || reply->protocol == IPPROTO_TCP);
}

// flow_is_ready says whether the flow's backend takes new clients.
static __always_inline bool flow_is_ready(const struct conntrack *c, const struct tuple *reply, bool v4)
{
	__u64 head;
	struct backend *b = flow_backend(c, reply, &head);

	return b && backend_standing(b, head, b->service, v4) == STANDING_READY;
}

// flow_trusts forgets that a flow began on a backend held for down: it is not, and a
// verdict ends the flow as any other from here on.
static __always_inline bool flow_trusts(struct conntrack *c)
{
	if (READ_ONCE(c->flags) & FLOW_ANYWAY)
		__sync_fetch_and_and(&c->flags, ~FLOW_ANYWAY); // Linux 5.12
	return true;
}

// flow_has_backend says whether the flow's backend may have its packets: it is who it
// was, and lives as far as we know. One that takes no new clients keeps those of TCP;
// a datagram goes to another while this one does not answer. A connection that began
// for want of a backend that lives is not ended by the verdict that it began in spite of.
static __always_inline bool flow_has_backend(struct conntrack *c, const struct tuple *reply, bool v4)
{
	__u64 head;
	struct backend *b = flow_backend(c, reply, &head);

	if (!b)
		return false;
	switch (backend_standing(b, head, b->service, v4)) {
	case STANDING_READY:
	case STANDING_DRAINING:
		return flow_trusts(c);
	case STANDING_DOWN:
		return reply->protocol == IPPROTO_TCP && (READ_ONCE(c->flags) & FLOW_ANYWAY || !backend_lost(b, head, v4));
	default:
		return false;
	}
}
