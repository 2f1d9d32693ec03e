//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Packets from outside to the addresses of services. from_uplink runs at the ingress
// of the node's uplinks and leads them to a backend: one on this node gets them from
// the kernel, with the client's address; one elsewhere from us, with the node's. The
// answers of the latter come back by from_uplink, those of the former leave by
// to_uplink.
#include "include/answer.h"
#include "include/follow.h"
#include "include/nat.h"
#include "include/segment.h"
#include "include/toobig.h"

#include <linux/pkt_cls.h>

EMIT(flow_flags);
EMIT(direct_flags);
EMIT(owned_flags);
EMIT(packet_event);
EMIT(packet_outcome);
EMIT(tunnel_open);

static __always_inline bool is_syn_ack(const struct packet *p)
{
	return p->kind == KIND_FLOW && p->tuple.protocol == IPPROTO_TCP && (p->flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK);
}

// client_hash is the same on all nodes: of the flow, or under session affinity of the
// client and the frontend.
static __always_inline __u64 client_hash(const struct packet *p, __u64 settings)
{
	struct tuple t = p->tuple;

	if (settings & SERVICE_AFFINITY)
		t.source_port = 0;
	return flow_hash(&t);
}

// remember adds the entry of a flow whose port was claimed.
static __noinline enum packet_outcome remember(struct packet *p, __u32 service, __u64 reference)
{
	struct conntrack entry = {
		.reply = p->reply,
		.reference = reference,
		.seen = p->now,
		.service = service,
		.flags = (p->local ? FLOW_LOCAL : 0) | (p->tunnel ? FLOW_TUNNEL : 0) | (p->anyway ? FLOW_ANYWAY : 0),
		.syn = is_syn(p) ? p->sequence : 0,
	};
	struct tuple reply;
	struct conntrack *winner = NULL;
	int err = bpf_map_update_elem(&unanswered, &p->client, &entry, BPF_NOEXIST);

	if (err == -ERR_EXIST) {
		winner = flow_begun_by(&p->client, &reply);
		if (!winner) // it is what is left of one
			err = bpf_map_update_elem(&unanswered, &p->client, &entry, BPF_ANY);
	}
	if (!err) {
		packet_count(EVENT_BEGUN);
		return PACKET_PASSED;
	}
	// Another packet of the flow was faster, perhaps with the same port.
	if (!winner || !tuple_equal(&reply, &p->reply))
		bpf_map_delete_elem(&unanswered_nat, &p->reply);
	if (!winner)
		return PACKET_FULL;
	p->reply = reply;
	goes_with(p, winner);
	if (!goes_where(p, winner))
		return PACKET_NO_ROUTE;
	return p->tunnelled && !p->local ? PACKET_NOT_HERE : PACKET_PASSED;
}

// begin_tunnel remembers a flow whose packets go in a tunnel, if there is room: without,
// the next packet is led as this one was.
static __always_inline enum packet_outcome begin_tunnel(struct packet *p, __u32 service, __u64 reference)
{
	enum packet_outcome outcome;

	p->reply.destination = p->tuple.source;
	p->reply.destination_port = p->tuple.source_port;
	if (opaque(p, nat_take(p)))
		return PACKET_PASSED;
	outcome = remember(p, service, reference);
	return outcome == PACKET_FULL ? PACKET_PASSED : outcome;
}

// begin remembers a flow with a backend, under a port that tells it from all others.
static __always_inline enum packet_outcome begin(struct __sk_buff *skb, struct packet *p, __u32 service, __u64 reference)
{
	__u64 head;
	struct backend *b = reference_backend(reference, &head);
	enum packet_outcome outcome;

	if (!b)
		return PACKET_NO_BACKEND;
	p->anyway = backend_lost(b, head, p->v4);
	// What a service names by this node's address need not say whose node it is.
	p->host = owned_flags_of(&b->address) & OWNED_NODE;
	p->local = p->host || node_is_this(b->node);
	p->reply.source = b->address;
	p->reply.source_port = b->port;
	p->reply.protocol = p->tuple.protocol;
	p->reply.pad[0] = p->reply.pad[1] = p->reply.pad[2] = 0;
	// What another node sent here stays here, or the two might send it for ever.
	if (p->tunnelled && !p->local)
		return PACKET_NOT_HERE;
	p->tunnel = !p->local && is_direct(p) && tunnel_to(p, b->node, true);
	if (p->tunnel)
		return begin_tunnel(p, service, reference);
	if (is_data(p))
		return PACKET_RESET;
	if (p->local)
		p->reply.destination = p->tuple.source;
	else if (!source_of(p->v4, &p->reply.destination))
		return PACKET_NO_SOURCE;
	outcome = opaque(p, nat_claim(skb, p));
	return outcome ? outcome : remember(p, service, reference);
}

// is_again says whether a flow that is remembered is as good as the one that would
// begin now: for want of a backend that lives it stays with the one it has.
static __always_inline bool is_again(const struct packet *p, const struct conntrack *c, __u32 service, __u64 reference)
{
	return READ_ONCE(c->reference) == reference && READ_ONCE(c->service) == service &&
	       !(p->tuple.protocol == IPPROTO_TCP && (flow_is_closed(READ_ONCE(c->flags)) || flow_is_over(c, IPPROTO_TCP, p->now)));
}

// reference_for returns the backend that a flow has which begins now; 0 for none.
static __noinline __u64 reference_for(const struct packet *p, __u32 service)
{
	struct service *s = bpf_map_lookup_elem(&services, &service);
	struct query q = { .service = service, .v4 = p->v4 };

	if (!s)
		return 0;
	q.hash = client_hash(p, READ_ONCE(s->settings));
	return select(&q, s);
}

// select_backend gives a new flow a backend, or one that is remembered another.
static __noinline enum packet_outcome select_backend(struct __sk_buff *skb, struct packet *p, __u32 service, struct conntrack *c)
{
	__u64 reference = reference_for(p, service);

	if (!reference)
		return settings_of(service) & SERVICE_DROPS ? PACKET_NOT_HERE : PACKET_NO_BACKEND;
	if (!c)
		return begin(skb, p, service, reference);
	if (is_again(p, c, service, reference) && goes_where(p, c)) {
		goes_with(p, c);
		return PACKET_PASSED;
	}
	packet_count(EVENT_MOVED);
	flow_forget(&p->client, &p->reply);
	return begin(skb, p, service, reference);
}

// is_past says whether a flow that is remembered is not what another node sends here: one
// that goes elsewhere from here. What begins takes its place.
static __noinline bool is_past(const struct packet *p, const struct conntrack *c)
{
	if (READ_ONCE(c->flags) & FLOW_LOCAL)
		return false;
	if (!is_data(p))
		flow_forget(&p->client, &p->reply);
	return true;
}

// find_flow finds the flow of a client's packet of TCP or UDP, or begins one. A
// segment of TCP that begins none is to be reset, if what it belongs to is lost.
static __noinline enum packet_outcome find_flow(struct __sk_buff *skb, struct packet *p)
{
	struct frontend_key key = frontend_for(p);
	struct conntrack *c;
	__u32 service;

	p->client = p->tuple;
	p->now = bpf_ktime_get_coarse_ns();
	c = flow_by_client(&p->client, &p->reply);
	if (c && p->tunnelled && opaque(p, is_past(p, c)))
		c = NULL;
	if (c && goes_on(p, c) && goes_where(p, c)) {
		goes_with(p, c);
		if (flow_settles(c))
			flow_settle(&p->client, &p->reply, c, p->now);
		return PACKET_PASSED;
	}
	service = frontend_service(&key);
	if (!service && !c)
		return PACKET_NO_PORT;
	// Nobody out of range is told anything, but who was led to a backend.
	if (service && !(c && is_data(p)) && !opaque(p, lets_in(p, service)))
		return PACKET_OUT_OF_RANGE;
	if (p->later)
		return PACKET_FRAGMENT;
	// Where packets go in tunnels another node may have begun the connection: it is led as
	// its SYN was.
	if (is_data(p) && (c || p->tunnelled || !is_direct(p)))
		return PACKET_RESET;
	return service ? select_backend(skb, p, service, c) : PACKET_NO_PORT;
}

// send_on sends a client's packet, or an error about the answers, to its backend.
static __always_inline enum packet_outcome send_on(struct __sk_buff *skb, struct packet *p, int *verdict)
{
	int way;

	if (!p->local && p->hops <= 1)
		return PACKET_HOPS;
	if (p->tunnel) {
		if (rewrite_hops(skb, p, p->hops - 1))
			return PACKET_FAILED;
		way = tunnel_send(skb, p);
		if (way == -PACKET_TOO_BIG && too_big_is_told(skb, p) && !opaque(p, answer_too_big(skb, p)))
			*verdict = bpf_redirect(skb->ifindex, 0);
		if (way < 0)
			return -way;
		if (p->way_asked && p->remembers)
			goes_this_way(p, way_noted(p), &p->reply, WAY_OUT);
		*verdict = way;
		return PACKET_TUNNELLED;
	}
	p->to = tuple_reversed(&p->reply);
	p->ip_to.source = p->local ? p->ip.source : p->to.source;
	p->hops_to = p->local ? p->hops : p->hops - 1;
	if (opaque(p, p->kind == KIND_ERROR ? rewrite_error(skb, p) : rewrite_flow(skb, p)))
		return PACKET_FAILED;
	if (p->local) {
		*verdict = TC_ACT_UNSPEC;
		return PACKET_DELIVERED;
	}
	way = opaque(p, route(skb, p));
	if (way < 0)
		return -way;
	if (p->way_asked && p->remembers)
		goes_this_way(p, way_noted(p), &p->reply, WAY_OUT);
	*verdict = way;
	return PACKET_FORWARDED;
}

// give_back rewrites a backend's packet, or an error about those to it: it comes from
// the frontend.
static __always_inline long give_back(struct __sk_buff *skb, struct packet *p, __u8 hops)
{
	p->hops_to = hops;
	p->to = tuple_reversed(&p->client);
	p->ip_to.source = p->to.source;
	return opaque(p, p->kind == KIND_ERROR ? rewrite_error(skb, p) : rewrite_flow(skb, p));
}

// reset answers a segment that has no flow, or no backend.
static __always_inline enum packet_outcome reset(struct __sk_buff *skb, struct packet *p, enum packet_outcome why, int *verdict)
{
	int way;

	if (p->more || p->later || p->tuple.protocol != IPPROTO_TCP || p->flags & TCP_RST)
		return why == PACKET_RESET ? PACKET_UNKNOWN : why;
	p->lost = why == PACKET_RESET;
	if (opaque(p, answer_reset(skb, p)))
		return PACKET_FAILED;
	if (p->tunnelled) { // who sent it here is not on the way back
		p->way_known = 0;
		p->to = tuple_reversed(&p->tuple);
		way = route(skb, p);
		if (way < 0)
			return -way;
		*verdict = way;
	} else {
		*verdict = bpf_redirect(skb->ifindex, 0);
	}
	return p->lost ? PACKET_RESET : PACKET_REFUSED;
}

static __always_inline enum packet_outcome ping(struct __sk_buff *skb, struct packet *p, int *verdict)
{
	if (!(p->owned & OWNED_PINGED))
		return PACKET_NO_BACKEND;
	if (opaque(p, answer_ping(skb, p)))
		return PACKET_FAILED;
	*verdict = bpf_redirect(skb->ifindex, 0);
	return PACKET_PINGED;
}

// to_client handles what comes to the node's own address: PACKET_PASSED when it is
// none of ours.
static __always_inline enum packet_outcome to_client(struct __sk_buff *skb, struct packet *p, int *verdict)
{
	struct conntrack *c = find_answered(p);
	int way;

	if (!c)
		return PACKET_PASSED;
	answers_with(p, c);
	if (p->hops <= 1)
		return PACKET_HOPS;
	if (give_back(skb, p, p->hops - 1))
		return PACKET_FAILED;
	way = opaque(p, route(skb, p));
	if (way < 0)
		return -way;
	if (p->way_asked)
		goes_this_way(p, way_noted(p), &p->tuple, WAY_BACK);
	*verdict = way;
	return PACKET_ANSWERED;
}

// goes_as_syn has what is of no flow that is known here go in the tunnel in which its SYN
// went, which another node may have sent; false when it went in none.
static __noinline bool goes_as_syn(struct packet *p)
{
	struct frontend_key key = frontend_for(p);
	__u32 service = frontend_service(&key);
	struct backend *b;
	__u64 head;

	if (p->tunnelled || !is_direct(p) || !service)
		return false;
	b = reference_backend(reference_for(p, service), &head);
	p->local = false;
	p->tunnel = b && !node_is_this(b->node) && tunnel_to(p, b->node, true);
	return p->tunnel;
}

// error_to_backend handles an ICMP error that comes to a frontend.
static __always_inline enum packet_outcome error_to_backend(struct __sk_buff *skb, struct packet *p, int *verdict)
{
	struct conntrack *c;

	p->client = p->tuple;
	c = flow_by_client(&p->client, &p->reply);
	if (c ? !flow_has_backend(c, &p->reply, p->v4) || !goes_where(p, c) || (p->tunnelled && !p->local) : !goes_as_syn(p))
		return PACKET_UNKNOWN;
	packet_count(EVENT_ERROR);
	return send_on(skb, p, verdict);
}

// to_service handles what comes to the address of a service.
static __always_inline enum packet_outcome to_service(struct __sk_buff *skb, struct packet *p, int *verdict)
{
	enum packet_outcome outcome;

	switch (p->kind) {
	case KIND_FLOW:
		outcome = opaque(p, find_flow(skb, p));
		if (!outcome)
			return send_on(skb, p, verdict);
		return outcome == PACKET_RESET || outcome == PACKET_NO_BACKEND ? reset(skb, p, outcome, verdict) : outcome;
	case KIND_ERROR:
		return error_to_backend(skb, p, verdict);
	case KIND_ECHO:
		return p->owned & (OWNED_NODE | OWNED_SHARED) ? PACKET_PASSED : ping(skb, p, verdict);
	case KIND_LATER:
		return PACKET_FRAGMENT;
	case KIND_BROKEN:
		return PACKET_MALFORMED;
	default:
		return PACKET_NO_PORT;
	}
}

// is_others says whether a packet to an address that services share with the node, or
// with others, is theirs: nothing of it was changed yet.
static __always_inline bool is_others(enum packet_outcome outcome)
{
	return outcome == PACKET_NO_PORT || outcome == PACKET_UNKNOWN || outcome == PACKET_MALFORMED ||
	       outcome == PACKET_FRAGMENT;
}

SEC("tc")
int from_uplink(struct __sk_buff *skb)
{
	struct packet *p = packet_begin(FROM_UPLINK);
	enum packet_outcome outcome = PACKET_PASSED;
	enum tunnelled content;
	int verdict = TC_ACT_SHOT;

	if (!p || skb->pkt_type != PACKET_HOST || !packet_read_ip(skb, p))
		return TC_ACT_UNSPEC;
	p->owned = owned_flags_of(&p->ip.destination);
	if (!p->owned)
		return TC_ACT_UNSPEC;
	content = opaque(p, tunnel_content(skb, p));
	if (content != TUNNELLED_NOT) {
		if (opaque(p, tunnel_unwrap(skb, p)) || !packet_read_ip(skb, p)) {
			packet_count(PACKET_MALFORMED);
			return TC_ACT_SHOT;
		}
		if (content == TUNNELLED_PROBE) // for the responder, which may have seen it before us
			return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
		p->tunnelled = true;
		p->owned = owned_flags_of(&p->ip.destination) & OWNED_SERVICE;
	}
	packet_read_transport(skb, p);
	if (p->owned & OWNED_NODE)
		outcome = opaque(p, to_client(skb, p, &verdict));
	if (!outcome && p->owned & OWNED_SERVICE)
		outcome = opaque(p, to_service(skb, p, &verdict));
	if (p->tunnelled && !outcome)
		outcome = PACKET_UNKNOWN; // nobody else here is to have it
	if (!outcome || (p->owned & (OWNED_NODE | OWNED_SHARED) && is_others(outcome)))
		return TC_ACT_UNSPEC;
	packet_count(outcome);
	return verdict;
}

SEC("tc")
int to_uplink(struct __sk_buff *skb)
{
	struct packet *p = packet_begin(TO_UPLINK);
	struct conntrack *c;

	if (!p || !packet_read_ip(skb, p))
		return TC_ACT_UNSPEC;
	packet_read_transport(skb, p);
	c = find_answered(p);
	if (!c)
		return TC_ACT_UNSPEC;
	answers_with(p, c);
	if (!(READ_ONCE(c->flags) & FLOW_LOCAL))
		return TC_ACT_UNSPEC;
	if (give_back(skb, p, p->hops) || (direct & DIRECT_TCP && is_syn_ack(p) && segment_clamp(skb, p))) {
		packet_count(PACKET_FAILED);
		return TC_ACT_SHOT;
	}
	packet_count(PACKET_RETURNED);
	return TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "Dual BSD/GPL";
