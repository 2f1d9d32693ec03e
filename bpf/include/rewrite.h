// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Rewriting: a packet of one tuple becomes one of another, its checksums with it.
//
// skb->csum, which is the sum of the whole packet where the device gave one, stays
// right: of IPv4 the header's checksum makes up for its addresses; of IPv6 nothing
// in the header does, and BPF_F_PSEUDO_HDR takes off what BPF_F_RECOMPUTE_CSUM adds.
#pragma once

#include "packet.h"

static __always_inline long packet_store(struct __sk_buff *skb, __u32 at, const void *from, __u32 size, __u64 flags)
{
	return bpf_skb_store_bytes(skb, at, from, size, flags);
}

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

// sum_change returns by how much the sum of some words changes from one to the other.
static __always_inline __u32 sum_change(const __be32 *from, const __be32 *to, __u32 words)
{
	__u64 sum = 0;

	for (__u32 i = 0; i < words; i++)
		sum += (__u64)(__u32)~from[i] + to[i];
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (sum & 0xffffffff) + (sum >> 32);
}

// What changes of an IPv4 header lies side by side.
struct head_v4 {
	__u8 hops, protocol;
	__sum16 check;
	__be32 addresses[2];
};

static __always_inline long rewrite_ip_v4(struct __sk_buff *skb, struct packet *p, __u32 *change)
{
	__be32 from[2] = { p->ip.source.word[3], p->ip.destination.word[3] };
	struct head_v4 head = {
		.hops = p->hops_to,
		.protocol = p->ip_protocol,
		.addresses = { p->ip_to.source.word[3], p->ip_to.destination.word[3] },
	};

	*change = sum_change(from, head.addresses, 2);
	// The protocol shares its word with the time to live, and stays.
	head.check = ~fold((__u64)(__u16)~p->ip_check + *change + (__u16)~bpf_htons(p->hops << 8) + bpf_htons(p->hops_to << 8));
	return packet_store(skb, ETH_HLEN + offsetof(struct iphdr, ttl), &head, sizeof(head), 0);
}

struct head_v6 {
	__u8 hops;
	__be32 addresses[8];
} __attribute__((packed));

static __always_inline long rewrite_ip_v6(struct __sk_buff *skb, struct packet *p, __u32 *change)
{
	struct head_v6 head = { .hops = p->hops_to };

	__builtin_memcpy(head.addresses, &p->ip_to, sizeof(head.addresses));
	*change = sum_change((__be32 *)&p->ip, (__be32 *)&p->ip_to, 8);
	return packet_store(skb, ETH_HLEN + offsetof(struct ipv6hdr, hop_limit), &head, sizeof(head), BPF_F_RECOMPUTE_CSUM);
}

// rewrite_ip writes addresses and the time to live of the IP header, from p->ip and p->hops
// to p->ip_to and p->hops_to, and returns by how much the sum of the addresses changed.
static __always_inline long rewrite_ip(struct __sk_buff *skb, struct packet *p, __u32 *change)
{
	return p->v4 ? rewrite_ip_v4(skb, p, change) : rewrite_ip_v6(skb, p, change);
}

// rewrite_transport writes the ports, and mends the checksum. One of UDP that is 0 is
// none, and stays so.
static __always_inline long rewrite_transport(struct __sk_buff *skb, struct packet *p, __u32 change)
{
	bool udp = p->tuple.protocol == IPPROTO_UDP;
	__u32 check = p->at + (udp ? offsetof(struct udphdr, check) : offsetof(struct tcphdr, check));
	__u64 zero = udp ? BPF_F_MARK_MANGLED_0 : 0;
	__be16 old[2] = { p->tuple.source_port, p->tuple.destination_port };
	__be16 new[2] = { p->to.source_port, p->to.destination_port };
	__u32 ports = sum_change((__be32 *)old, (__be32 *)new, 1);

	return bpf_l4_csum_replace(skb, check, 0, change, BPF_F_PSEUDO_HDR | zero) ||
	       bpf_l4_csum_replace(skb, check, 0, ports, zero) ||
	       packet_store(skb, p->at, new, sizeof(new), 0);
}

// rewrite_flow makes a packet of TCP or UDP one of the tuple p->to.
static __always_inline long rewrite_flow(struct __sk_buff *skb, struct packet *p)
{
	__u32 change = 0;

	p->ip_to.source = p->to.source;
	p->ip_to.destination = p->to.destination;
	return rewrite_ip(skb, p, &change) || (!p->later && rewrite_transport(skb, p, change));
}

// The ports of a packet, and its checksum, padded to what bpf_csum_diff takes.
struct head {
	__be16 ports[2];
	__be16 check;
	__be16 pad;
};

// rewrite_inner makes the packet within an ICMP error, of the tuple p->was, one of
// p->becomes, and returns in change by how much the sum of the error's payload changed.
static __always_inline long rewrite_inner(struct __sk_buff *skb, struct packet *p, __s64 *change)
{
	struct tuple *was = &p->was, *becomes = &p->becomes;
	bool udp = was->protocol == IPPROTO_UDP;
	__u32 check = p->inner_at + (udp ? offsetof(struct udphdr, check) : offsetof(struct tcphdr, check));
	struct head old = { .ports = { was->source_port, was->destination_port } };
	struct head new = { .ports = { becomes->source_port, becomes->destination_port } };
	// Of TCP's header its checksum need not be there.
	bool sum = check + sizeof(old.check) <= p->end;
	__s64 addresses;

	if (sum && packet_load(skb, check, &old.check, sizeof(old.check)))
		return -1;
	if (p->v4) {
		__be32 from[2] = { was->source.word[3], was->destination.word[3] };
		__be32 to[2] = { becomes->source.word[3], becomes->destination.word[3] };

		addresses = bpf_csum_diff(from, sizeof(from), to, sizeof(to), 0);
		// Its own checksum makes up for these.
		if (bpf_l3_csum_replace(skb, p->inner + offsetof(struct iphdr, check), 0, addresses, 0) ||
		    packet_store(skb, p->inner + offsetof(struct iphdr, saddr), to, sizeof(to), 0))
			return -1;
	} else {
		addresses = bpf_csum_diff((__be32 *)was, sizeof(struct addresses), (__be32 *)becomes, sizeof(struct addresses), 0);
		if (packet_store(skb, p->inner + offsetof(struct ipv6hdr, saddr), becomes, sizeof(struct addresses), 0))
			return -1;
	}
	new.check = old.check;
	if (sum && !(udp && !old.check)) {
		__s64 ports = bpf_csum_diff((__be32 *)old.ports, sizeof(old.ports), (__be32 *)new.ports, sizeof(new.ports), 0);

		new.check = ~fold((__u64)(__u16)~old.check + (__u32)addresses + (__u32)ports);
		if (udp && !new.check)
			new.check = 0xffff;
	}
	*change = bpf_csum_diff((__be32 *)&old, sizeof(old), (__be32 *)&new, sizeof(new), p->v4 ? 0 : (__u32)addresses);
	return packet_store(skb, p->inner_at, new.ports, sizeof(new.ports), 0) ||
	       (sum && packet_store(skb, check, &new.check, sizeof(new.check), 0));
}

// rewrite_error makes an ICMP error one in the flow of the tuple p->to: the packet
// within it goes the other way. It comes from p->ip_to.source, which the caller chose.
static __noinline __unused long rewrite_error(struct __sk_buff *skb, struct packet *p)
{
	const __u32 check = p->at + offsetof(struct icmp, checksum);
	__s64 inner = 0;
	__u32 outer = 0;

	p->was = tuple_reversed(&p->tuple);
	p->becomes = tuple_reversed(&p->to);
	p->ip_to.destination = p->to.destination;
	if (rewrite_inner(skb, p, &inner) || bpf_l4_csum_replace(skb, check, 0, inner, 0) || rewrite_ip(skb, p, &outer))
		return -1;
	// The checksum of ICMPv6 is of the addresses, too.
	return p->v4 ? 0 : bpf_l4_csum_replace(skb, check, 0, outer, BPF_F_PSEUDO_HDR);
}

// rewrite_hops gives a packet another time to live.
static __always_inline long rewrite_hops(struct __sk_buff *skb, const struct packet *p, __u8 hops)
{
	if (!p->v4)
		return packet_store(skb, ETH_HLEN + offsetof(struct ipv6hdr, hop_limit), &hops, sizeof(hops), BPF_F_RECOMPUTE_CSUM);
	// The protocol shares its word, and stays.
	return bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check), bpf_htons(p->hops << 8), bpf_htons(hops << 8), 2) ||
	       packet_store(skb, ETH_HLEN + offsetof(struct iphdr, ttl), &hops, sizeof(hops), 0);
}
