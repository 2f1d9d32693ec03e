// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Tunnels: a client's packet goes to the node of its backend as it came, within a packet
// between the two nodes (IPv4 in IPv4, RFC 2003; IPv6 in IPv6, RFC 2473), and that node
// leads it to one of its own. So the backend sees the client and answers it directly.
#pragma once

#include "owned.h"
#include "rewrite.h"
#include "route.h"

#define TUNNEL_HOPS 64

// Set by the loader: which protocols go so, where the backend's node takes tunnels.
enum direct_flags {
	DIRECT_TCP = 1 << 0,
	DIRECT_UDP = 1 << 1,
};

const volatile __u8 direct = 0;

// Where a node takes tunnels: by its number in node_health, in each family; zeros where
// that is not known. New flows begin to those that are open alone: a packet of ours went
// that way just now.
enum tunnel_open {
	TUNNEL_V4 = 1 << 0,
	TUNNEL_V6 = 1 << 1,
};

struct tunnel {
	struct address v4, v6;
	__u32 open; // tunnel_open
	__u32 reserved[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); // set by the loader
	__type(key, __u32);
	__type(value, struct tunnel);
} tunnels SEC(".maps");

// is_direct says whether a packet may go in a tunnel. To this node's own address, at a
// node port, it may not: no other node has that frontend.
static __always_inline bool is_direct(const struct packet *p)
{
	return !(p->owned & OWNED_NODE) && direct & (p->tuple.protocol == IPPROTO_TCP ? DIRECT_TCP : DIRECT_UDP);
}

// tunnel_to fills in where a node takes tunnels; false when that is not known, or for a
// new flow when none is open.
static __always_inline bool tunnel_to(struct packet *p, __u32 node, bool begins)
{
	struct tunnel *t = bpf_map_lookup_elem(&tunnels, &node);
	struct address *a;

	if (!t || !node || (begins && !(READ_ONCE(t->open) & (p->v4 ? TUNNEL_V4 : TUNNEL_V6))))
		return false;
	a = p->v4 ? &t->v4 : &t->v6;
	p->way = *a;
	return a->word[0] | a->word[1] | a->word[2] | a->word[3];
}

// The header between the nodes.
static __always_inline __u32 tunnel_overhead(bool v4)
{
	return v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
}

// tunnel_length is how long the longest packet is that goes out: of what the kernel put
// together of many, a segment. The kernel makes segments of TCP shorter by what is put
// before them.
static __always_inline __u32 tunnel_length(struct __sk_buff *skb, const struct packet *p)
{
	if (!skb->gso_size)
		return skb->len - ETH_HLEN + tunnel_overhead(p->v4);
	if (p->tuple.protocol == IPPROTO_TCP)
		return 0;
	return p->at - ETH_HLEN + sizeof(struct udphdr) + skb->gso_size + tunnel_overhead(p->v4);
}

// tunnel_head_v4 and tunnel_head_v6 return the header before a packet. What an Ethernet frame
// has behind it is none of it.
static __always_inline struct iphdr tunnel_head_v4(const struct packet *p)
{
	struct iphdr ip = {
		.version = 4,
		.ihl = sizeof(ip) / 4,
		.tos = p->traffic_class,
		.tot_len = bpf_htons(packet_length(p) + sizeof(ip)),
		.frag_off = bpf_htons(0x4000), // it fits: the identification says nothing (RFC 6864)
		.ttl = TUNNEL_HOPS,
		.protocol = IPPROTO_IPIP,
		.saddr = p->to.source.word[3],
		.daddr = p->to.destination.word[3],
	};
	const __be32 nothing[sizeof(ip) / sizeof(__be32)] = {};

	ip.check = ~fold(sum_change(nothing, (__be32 *)&ip, sizeof(ip) / sizeof(__be32)));
	return ip;
}

static __always_inline struct ipv6hdr tunnel_head_v6(const struct packet *p)
{
	struct ipv6hdr ip = {
		.version = 6,
		.priority = p->traffic_class >> 4,
		.payload_len = bpf_htons(packet_length(p)),
		.nexthdr = IPPROTO_IPV6,
		.hop_limit = TUNNEL_HOPS,
	};

	ip.flow_lbl[0] = p->traffic_class << 4;
	__builtin_memcpy(&ip.saddr, &p->to.source, sizeof(ip.saddr));
	__builtin_memcpy(&ip.daddr, &p->to.destination, sizeof(ip.daddr));
	return ip;
}

static __always_inline long tunnel_wrap_v4(struct __sk_buff *skb, const struct packet *p)
{
	struct iphdr ip = tunnel_head_v4(p);

	return packet_store(skb, ETH_HLEN, &ip, sizeof(ip), 0); // its sum is nothing
}

static __always_inline long tunnel_wrap_v6(struct __sk_buff *skb, const struct packet *p)
{
	struct ipv6hdr ip = tunnel_head_v6(p);

	return packet_store(skb, ETH_HLEN, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM);
}

// tunnel_wrap puts the header between the nodes before a packet.
static __noinline long tunnel_wrap(struct __sk_buff *skb, struct packet *p)
{
	__u64 flags = p->v4 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV6;

	if (p->tuple.protocol == IPPROTO_UDP)
		flags |= BPF_F_ADJ_ROOM_FIXED_GSO; // datagrams keep their size
	if (bpf_skb_adjust_room(skb, tunnel_overhead(p->v4), BPF_ADJ_ROOM_MAC, flags))
		return -1;
	return p->v4 ? tunnel_wrap_v4(skb, p) : tunnel_wrap_v6(skb, p);
}

// tunnel_ends fills in p->to, by which the tunnel to p->way is routed; false when this node
// has no address for it.
static __always_inline bool tunnel_ends(struct packet *p)
{
	p->to = (struct tuple){ .destination = p->way, .protocol = p->v4 ? IPPROTO_IPIP : IPPROTO_IPV6 };
	return source_of(p->v4, &p->to.source);
}

// tunnel_send sends a packet to the node that p->way is of, and returns the verdict, or
// less than zero: the outcome of one that cannot go.
static __always_inline int tunnel_send(struct __sk_buff *skb, struct packet *p)
{
	__u32 length = tunnel_length(skb, p);
	int way;

	if (!tunnel_ends(p))
		return -PACKET_NO_SOURCE;
	// The way is found before, while the packet can still be told that it is too big.
	way = opaque(p, route_find(skb, p, length));
	if (way)
		return way;
	if (!length)
		p->mtu = 0; // it is the device's, and the route may have a smaller: the flow remembers nothing
	if (opaque(p, tunnel_wrap(skb, p)))
		return -PACKET_FAILED;
	return route_take(p);
}

// What is within a packet between nodes.
enum tunnelled {
	TUNNELLED_NOT,    // it is no tunnel of ours
	TUNNELLED_PACKET, // a client's packet
	TUNNELLED_PROBE,  // a probe of whether tunnels come through
};

// The port of probes; set by the loader.
const volatile __u16 tunnel_probe_port = 0;

// tunnel_peek reads where the inner packet goes, and to which port of UDP, 0 for another
// protocol; false when it is none of the same family.
static __always_inline bool tunnel_peek(struct __sk_buff *skb, const struct packet *p, struct address *to, __be16 *port)
{
	__u32 at = p->at;
	__u8 protocol;
	__be16 ports[2];

	if (p->v4) {
		struct iphdr ip;

		if (p->tuple.protocol != IPPROTO_IPIP || packet_load(skb, at, &ip, sizeof(ip)) || ip.version != 4)
			return false;
		*to = address_v4(ip.daddr);
		protocol = ip.protocol;
		at += ip.ihl * 4;
	} else {
		struct ipv6hdr ip;

		if (p->tuple.protocol != IPPROTO_IPV6 || packet_load(skb, at, &ip, sizeof(ip)) || ip.version != 6)
			return false;
		*to = address_of6(&ip.daddr);
		protocol = ip.nexthdr;
		at += sizeof(ip);
	}
	*port = protocol == IPPROTO_UDP && !packet_load(skb, at, ports, sizeof(ports)) ? ports[1] : 0;
	return true;
}

// tunnel_content says whether a packet to this node is another node's of the mesh, with a
// client's packet or a probe in it. All else is of a tunnel that somebody else has, as a
// network plugin may.
static __always_inline enum tunnelled tunnel_content(struct __sk_buff *skb, const struct packet *p)
{
	struct address to;
	__be16 port;

	if (!(p->owned & OWNED_NODE) || p->more || p->later || !tunnel_peek(skb, p, &to, &port) ||
	    !(owned_flags_of(&p->ip.source) & OWNED_PEER))
		return TUNNELLED_NOT;
	if (address_equal(&to, &p->ip.destination) && port && port == bpf_htons(tunnel_probe_port))
		return TUNNELLED_PROBE;
	return owned_flags_of(&to) & OWNED_SERVICE ? TUNNELLED_PACKET : TUNNELLED_NOT;
}

#define ECN_CE 3

// tunnel_unwrap takes the header between the nodes off. Congestion on the way is the
// packet's (RFC 6040, section 4.2); false when it must not go on.
static __noinline __unused long tunnel_unwrap(struct __sk_buff *skb, struct packet *p)
{
	bool congested = (p->traffic_class & 3) == ECN_CE;

	// Before the transport's header is read, p->at is where the inner packet begins.
	if (bpf_skb_adjust_room(skb, -(__s32)(p->at - ETH_HLEN), BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO))
		return -1;
	return congested && !bpf_skb_ecn_set_ce(skb);
}
