// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Following: a packet goes with the flow that it belongs to, if that is remembered and
// has its backend still. What begins a flow is packet.c's.
#pragma once

#include "conntrack.h"
#include "frontend.h"
#include "range.h"
#include "service.h"
#include "tunnel.h"

static __always_inline __u32 tcp_marks(const struct packet *p, __u32 fin)
{
	if (p->kind != KIND_FLOW || p->tuple.protocol != IPPROTO_TCP)
		return 0;
	return (p->flags & TCP_FIN ? fin : 0) | (p->flags & TCP_RST ? FLOW_CUT : 0);
}

static __always_inline bool is_syn(const struct packet *p)
{
	return p->tuple.protocol == IPPROTO_TCP && (p->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

// is_data says whether it is a segment of a connection that began before it.
static __always_inline bool is_data(const struct packet *p)
{
	return p->tuple.protocol == IPPROTO_TCP && !is_syn(p);
}

static __always_inline struct frontend_key frontend_for(const struct packet *p)
{
	return (struct frontend_key){
		.address = p->tuple.destination,
		.port = p->tuple.destination_port,
		.protocol = p->tuple.protocol,
		.scope = p->tunnelled ? SCOPE_TUNNEL : SCOPE_PACKET,
	};
}

static __always_inline __u64 settings_of(__u32 service)
{
	struct service *s = bpf_map_lookup_elem(&services, &service);

	return s ? READ_ONCE(s->settings) : 0;
}

// lets_in says whether a client may come to a service from where it is.
static __noinline bool lets_in(const struct packet *p, __u32 service)
{
	return !(settings_of(service) & SERVICE_RANGES) || range_has(service, &p->tuple.source);
}

// goes_on says whether a packet stays with the flow that is remembered. A connection
// that is open stays with its backend wherever its address leads by now; what begins,
// and a datagram, does not.
static __always_inline bool goes_on(struct packet *p, struct conntrack *c)
{
	if (!flow_has_backend(c, &p->reply, p->v4))
		return false;
	// Nothing of the connection is there yet, and another may take it by now.
	if (is_syn(p) && (READ_ONCE(c->flags) & FLOW_ANYWAY || !(READ_ONCE(c->flags) & FLOW_ANSWERED || flow_is_ready(c, &p->reply, p->v4))))
		return false;
	if (is_data(p))
		return true;
	if (is_syn(p) && (flow_is_closed(READ_ONCE(c->flags)) || flow_is_over(c, IPPROTO_TCP, p->now)))
		return false;

	struct frontend_key key = frontend_for(p);
	__u32 service = frontend_service(&key);

	return service == READ_ONCE(c->service) && opaque(p, lets_in(p, service));
}

// goes_with takes note of a client's packet in a flow that is remembered.
static __always_inline void goes_with(struct packet *p, struct conntrack *c)
{
	p->way_known = flow_way(c, &p->reply, WAY_OUT, p->now);
	p->remembers = true;
	if (is_syn(p))
		flow_opens(c, p->sequence);
	flow_sees(c, tcp_marks(p, FLOW_FIN_CLIENT), p->now);
}

// goes_where fills in where a flow's packets go; false when they cannot go in their tunnel
// any more: it is not known where that ends or, for what can begin anew, it is closed.
static __always_inline bool goes_where(struct packet *p, const struct conntrack *c)
{
	__u32 flags = READ_ONCE(c->flags);
	struct backend *b;
	__u64 head;

	p->local = flags & FLOW_LOCAL;
	p->tunnel = flags & FLOW_TUNNEL;
	if (!p->tunnel)
		return true;
	b = reference_backend(READ_ONCE(c->reference), &head);
	return b && tunnel_to(p, b->node, !is_data(p));
}

// goes_this_way has the flow of p->client remember a way for packets of one direction, if
// its answers are still those of a tuple.
static __noinline void goes_this_way(struct packet *p, __u32 note, const struct tuple *reply, __u32 direction)
{
	struct tuple now;
	struct conntrack *c = flow_by_client(&p->client, &now);

	if (c && tuple_equal(&now, reply))
		flow_goes(c, reply, note, direction);
}

// What an answer acknowledges of a SYN: itself, and the data that it may have carried.
#define SYN_MOST 0x10000

static __always_inline bool answers_syn(const struct packet *p, __u32 syn)
{
	return p->flags & TCP_ACK && p->acknowledgement - syn - 1 < SYN_MOST;
}

// is_of_flow says whether a segment that a backend sent, or an error about one to it, is
// of the connection that was led there. The client may have one with the pod itself,
// which has the same addresses and ports; but a pod has only one of them at a time, and
// the SYN that is acknowledged tells which. Of a backend elsewhere the port is the flow's
// alone, and what it says of an earlier connection with that lets the client try again at
// once.
static __always_inline bool is_of_flow(const struct packet *p, struct conntrack *c)
{
	__u32 flags = READ_ONCE(c->flags);
	bool answered = flags & FLOW_ANSWERED || !(flags & FLOW_LOCAL);
	__u32 syn = READ_ONCE(c->syn);

	if (p->tuple.protocol != IPPROTO_TCP)
		return true;
	if (p->kind == KIND_ERROR)
		return answered || p->sequence == syn;
	if (!(p->flags & TCP_SYN))
		return answered || (p->flags & TCP_RST && answers_syn(p, syn));
	if (answers_syn(p, syn))
		return true;
	flow_is_unanswered(c);
	return false;
}

// find_answered finds the flow of a backend's packet, or of an error about those to it.
static __noinline struct conntrack *find_answered(struct packet *p)
{
	struct conntrack *c;

	p->now = bpf_ktime_get_coarse_ns();
	if (p->kind != KIND_FLOW && p->kind != KIND_ERROR)
		return NULL;
	c = flow_by_backend(&p->tuple, &p->client);
	if (!c || !flow_may_answer(c, &p->tuple, p->now) || !is_of_flow(p, c))
		return NULL;
	p->way_known = flow_way(c, &p->tuple, WAY_BACK, p->now);
	return c;
}

// answers_with takes note of what find_answered found.
static __always_inline void answers_with(const struct packet *p, struct conntrack *c)
{
	if (p->kind == KIND_ERROR)
		packet_count(EVENT_ERROR);
	else
		flow_sees(c, FLOW_ANSWERED | tcp_marks(p, FLOW_FIN_BACKEND), p->now);
}
