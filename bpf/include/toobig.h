// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Too big: who sends a packet that does not fit into a tunnel is told what would
// (RFC 1191, section 4; RFC 4443, section 3.2).
#pragma once

#include "answer.h"
#include "tunnel.h"

// The smallest that a way of IPv6 may have (RFC 8200, section 5).
#define LEAST_V6 1280

// What is told of a packet: its headers, without options.
#define QUOTED_V4 (sizeof(struct iphdr) + sizeof(struct tcphdr))
#define QUOTED_V6 (sizeof(struct ipv6hdr) + sizeof(struct tcphdr))

struct too_big {
	__u8 type, code;
	__be16 checksum;
	__be32 mtu;
};

// too_big_is_told says whether somebody waits to be told: packets with options are not
// told of, errors never.
static __always_inline bool too_big_is_told(struct __sk_buff *skb, const struct packet *p)
{
	__be16 fragment;

	if (p->kind != KIND_FLOW || p->later || p->at != ETH_HLEN + tunnel_overhead(p->v4))
		return false;
	if (!p->v4)
		return true;
	return !packet_load(skb, ETH_HLEN + offsetof(struct iphdr, frag_off), &fragment, sizeof(fragment)) &&
	       fragment & bpf_htons(0x4000);
}

// too_big_sum is the sum of what is quoted, as it will be on the wire: a checksum that
// the kernel or a device is to complete makes up for what is behind the pseudo header.
static __always_inline __u32 too_big_sum(struct __sk_buff *skb, struct packet *p, __u32 size)
{
	__u32 check = p->at + (p->tuple.protocol == IPPROTO_UDP ? offsetof(struct udphdr, check) : offsetof(struct tcphdr, check));
	__u32 ip = tunnel_overhead(p->v4);
	__be16 pseudo;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, p->quoted, size) || packet_load(skb, check, &pseudo, sizeof(pseudo)))
		return 0;
	if (!checksum_is_left(skb, check)) { // which has changed it
		packet_store(skb, check, &pseudo, sizeof(pseudo), 0);
		return bpf_csum_diff(NULL, 0, (__be32 *)p->quoted, size, 0);
	}
	return bpf_csum_diff(NULL, 0, (__be32 *)p->quoted, ip, (__u16)~pseudo);
}

static __always_inline long too_big_head_v4(struct __sk_buff *skb, const struct packet *p, __u32 sum)
{
	struct {
		struct iphdr ip;
		struct too_big icmp;
	} head = {
		.ip = { .version = 4, .ihl = 5, .ttl = ANSWER_HOPS, .protocol = IPPROTO_ICMP,
			.saddr = p->ip.destination.word[3], .daddr = p->ip.source.word[3] },
		.icmp = { .type = ICMP_UNREACHABLE, .code = ICMP_FRAGMENTATION_NEEDED, .mtu = bpf_htonl(p->mtu) },
	};

	head.ip.tot_len = bpf_htons(skb->len - ETH_HLEN);
	head.ip.check = ~fold((__u32)bpf_csum_diff(NULL, 0, (__be32 *)&head.ip, sizeof(head.ip), 0));
	head.icmp.checksum = ~fold((__u32)bpf_csum_diff(NULL, 0, (__be32 *)&head.icmp, sizeof(head.icmp), sum));
	return packet_store(skb, ETH_HLEN, &head, sizeof(head), BPF_F_RECOMPUTE_CSUM);
}

static __always_inline long too_big_head_v6(struct __sk_buff *skb, const struct packet *p, __u32 sum)
{
	struct {
		struct ipv6hdr ip;
		struct too_big icmp;
	} head = {
		.ip = { .version = 6, .hop_limit = ANSWER_HOPS, .nexthdr = IPPROTO_ICMPV6 },
		.icmp = { .type = ICMP6_TOO_BIG, .mtu = bpf_htonl(p->mtu) },
	};
	__u32 length = skb->len - ETH_HLEN - sizeof(head.ip);
	__be32 pseudo[2] = { bpf_htonl(length), bpf_htonl(IPPROTO_ICMPV6) };

	head.ip.payload_len = bpf_htons(length);
	__builtin_memcpy(&head.ip.saddr, &p->ip.destination, sizeof(head.ip.saddr));
	__builtin_memcpy(&head.ip.daddr, &p->ip.source, sizeof(head.ip.daddr));
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&head.ip.saddr, sizeof(struct addresses), sum);
	sum = bpf_csum_diff(NULL, 0, pseudo, sizeof(pseudo), sum);
	head.icmp.checksum = ~fold((__u32)bpf_csum_diff(NULL, 0, (__be32 *)&head.icmp, sizeof(head.icmp), sum));
	return packet_store(skb, ETH_HLEN, &head, sizeof(head), BPF_F_RECOMPUTE_CSUM);
}

static __always_inline long too_big_make(struct __sk_buff *skb, struct packet *p, __u32 size)
{
	__u32 sum = too_big_sum(skb, p, size);

	if (bpf_skb_change_tail(skb, ETH_HLEN + size, 0) ||
	    bpf_skb_adjust_room(skb, tunnel_overhead(p->v4) + sizeof(struct too_big), BPF_ADJ_ROOM_MAC, 0))
		return -1;
	return p->v4 ? too_big_head_v4(skb, p, sum) : too_big_head_v6(skb, p, sum);
}

// answer_too_big makes a packet that does not fit into a tunnel the error that says so.
static __noinline long answer_too_big(struct __sk_buff *skb, struct packet *p)
{
	bool udp = p->tuple.protocol == IPPROTO_UDP;

	p->mtu -= tunnel_overhead(p->v4);
	if (!p->v4 && p->mtu < LEAST_V6)
		p->mtu = LEAST_V6;
	if (p->v4)
		return (udp ? too_big_make(skb, p, QUOTED_V4 - 12) : too_big_make(skb, p, QUOTED_V4)) || answer_by(skb);
	return (udp ? too_big_make(skb, p, QUOTED_V6 - 12) : too_big_make(skb, p, QUOTED_V6)) || answer_by(skb);
}
