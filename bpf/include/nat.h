// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Ports: a flow takes one, so that the backend's answers tell it from all others. To
// take it is to add the entry in nat, which only one can.
#pragma once

#include "conntrack.h"
#include "owned.h"
#include "packet.h"
#include "select.h"

// The port is of another hash than the backend: else each of n backends would have an nth
// of the ports to begin with.
#define PORT_SEED 0x9e3779b97f4a7c15ULL

// So many ports are tried. With nine of ten in use all are taken in 4 of 100 cases.
#define CLAIM_TRIES 32

// Set by the loader: the ports that flows from this node's address may have. They
// are none of those that the kernel gives to sockets by itself.
const volatile __u16 nat_port_first = 10000;
const volatile __u16 nat_port_count = 20000;

// The tuple of a socket as the helpers want it, in either family.
static __always_inline __u32 socket_tuple(struct bpf_sock_tuple *to, const struct tuple *t)
{
	if (address_is_v4(&t->source)) {
		to->ipv4.saddr = t->source.word[3];
		to->ipv4.daddr = t->destination.word[3];
		to->ipv4.sport = t->source_port;
		to->ipv4.dport = t->destination_port;
		return sizeof(to->ipv4);
	}
	__builtin_memcpy(to->ipv6.saddr, &t->source, sizeof(t->source));
	__builtin_memcpy(to->ipv6.daddr, &t->destination, sizeof(t->destination));
	to->ipv6.sport = t->source_port;
	to->ipv6.dport = t->destination_port;
	return sizeof(to->ipv6);
}

// tcp_state returns the state of the socket of this node that would get packets of a
// tuple, 0 when there is none. It is one of bpf_tcp_state, as that of UDP is. The size is
// given as a constant, which the verifier asks for.
static __noinline __u32 tcp_state(struct __sk_buff *skb, const struct tuple *t)
{
	struct bpf_sock_tuple s = {};
	struct bpf_sock *sk = socket_tuple(&s, t) == sizeof(s.ipv4)
				      ? bpf_skc_lookup_tcp(skb, &s, sizeof(s.ipv4), BPF_F_CURRENT_NETNS, 0)
				      : bpf_skc_lookup_tcp(skb, &s, sizeof(s.ipv6), BPF_F_CURRENT_NETNS, 0);
	__u32 state;

	if (!sk)
		return 0;
	state = sk->state;
	bpf_sk_release(sk);
	return state;
}

static __noinline __u32 udp_state(struct __sk_buff *skb, const struct tuple *t)
{
	struct bpf_sock_tuple s = {};
	struct bpf_sock *sk = socket_tuple(&s, t) == sizeof(s.ipv4)
				      ? bpf_sk_lookup_udp(skb, &s, sizeof(s.ipv4), BPF_F_CURRENT_NETNS, 0)
				      : bpf_sk_lookup_udp(skb, &s, sizeof(s.ipv6), BPF_F_CURRENT_NETNS, 0);
	__u32 state;

	if (!sk)
		return 0;
	state = sk->state;
	bpf_sk_release(sk);
	return state;
}

static __always_inline __u32 socket_state(struct __sk_buff *skb, struct packet *p, const struct tuple *t)
{
	return t->protocol == IPPROTO_UDP ? opaque(p, udp_state(skb, t)) : opaque(p, tcp_state(skb, t));
}

// is_taken says whether a socket of this node has the port of p->reply: at the node's
// address any, and at a client's one that is connected to that, where the backend is the
// node itself. Of a pod's sockets nothing is known here.
static __always_inline bool is_taken(struct __sk_buff *skb, struct packet *p)
{
	__u32 state;

	if (!p->local)
		return socket_state(skb, p, &p->reply);
	if (!p->host)
		return false;
	p->to = tuple_reversed(&p->reply);
	state = socket_state(skb, p, &p->to);
	return state && state != BPF_TCP_LISTEN && state != BPF_TCP_CLOSE;
}

// nat_reclaim takes the entry of a port away from a flow that is over, in a pair of maps.
// One whose flow is not there may be about to come: its CPU adds that next. A port at which
// the backend may wait for what is left of its last connection is noted, for want of
// another.
static __always_inline bool nat_reclaim(void *flows, void *nats, struct packet *p)
{
	struct nat *n = bpf_map_lookup_elem(nats, &p->reply);
	struct conntrack *c;
	struct tuple client;

	if (!n)
		return true;
	client = n->flow;
	c = bpf_map_lookup_elem(flows, &client);
	if (c && tuple_equal(&c->reply, &p->reply)) {
		if (!flow_is_over(c, client.protocol, p->now))
			return false;
		if (!p->pressed && flow_waits(c, client.protocol, p->now)) {
			p->waits = p->reply.destination_port;
			return false;
		}
		bpf_map_delete_elem(flows, &client);
	} else if (!tuple_equal(&client, &p->client) && (__s64)(p->now - READ_ONCE(n->born)) < (__s64)SECOND) {
		return false;
	}
	bpf_map_delete_elem(nats, &p->reply);
	return true;
}

// nat_is_ours says whether a flow has the entry of a port already: another CPU added it
// for another packet, or it is what is left of the flow.
static __always_inline bool nat_is_ours(const struct packet *p)
{
	struct nat *n = bpf_map_lookup_elem(&unanswered_nat, &p->reply);

	if (!n || !tuple_equal(&n->flow, &p->client))
		return false;
	WRITE_ONCE(n->born, p->now);
	return true;
}

// nat_take adds the entry of a port; 0, or the error of the map: an int, for before
// Linux 6.4 the upper half of what the kernel returns says nothing.
static __noinline int nat_take(struct packet *p)
{
	struct nat n = { .flow = p->client, .born = p->now };
	int err = bpf_map_update_elem(&unanswered_nat, &p->reply, &n, BPF_NOEXIST);

	if (err == -ERR_EXIST && nat_is_ours(p))
		return 0;
	if (err == -ERR_EXIST && nat_reclaim(&unanswered, &unanswered_nat, p))
		err = bpf_map_update_elem(&unanswered_nat, &p->reply, &n, BPF_NOEXIST);
	if (err)
		return err;
	// In this order: a flow that settles has its port in nat before it lets go of this.
	if (nat_reclaim(&conntrack, &nat, p))
		return 0;
	bpf_map_delete_elem(&unanswered_nat, &p->reply);
	return -ERR_EXIST;
}

static __always_inline __u64 flow_hash(const struct tuple *t)
{
	__u64 h = mix((__u64)t->source.word[0] << 32 | t->source.word[1]);

	h = mix(h ^ ((__u64)t->source.word[2] << 32 | t->source.word[3]));
	h = mix(h ^ ((__u64)t->destination.word[0] << 32 | t->destination.word[1]));
	h = mix(h ^ ((__u64)t->destination.word[2] << 32 | t->destination.word[3]));
	return mix(h ^ ((__u64)t->source_port << 32 | (__u64)t->destination_port << 16 | t->protocol));
}

// nat_claim finds a port for the flow of p->client, and completes p->reply with it. A
// client's own is left as it is where its backend does not know it from another flow.
static __noinline enum packet_outcome nat_claim(struct __sk_buff *skb, struct packet *p)
{
	__u64 hash = mix(flow_hash(&p->client) ^ PORT_SEED);
	int err;

	p->pressed = false;
	p->waits = 0;
	for (int i = 0; i < CLAIM_TRIES; i++) {
		__u16 port = nat_port_first + (__u16)(((hash >> 32) * nat_port_count) >> 32);

		p->reply.destination_port = i == 0 && p->local ? p->client.source_port : bpf_htons(port);
		hash = mix(hash + i);
		if (is_taken(skb, p))
			continue;
		err = opaque(p, nat_take(p));
		if (!err)
			return PACKET_PASSED;
		if (err != -ERR_EXIST)
			return PACKET_FULL;
	}
	if (!p->waits)
		return PACKET_EXHAUSTED;
	p->pressed = true;
	p->reply.destination_port = p->waits;
	err = opaque(p, nat_take(p));
	return !err ? PACKET_PASSED : err == -ERR_EXIST ? PACKET_EXHAUSTED : PACKET_FULL;
}
