// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Answers of the node itself: a packet is made its own answer, and goes back to
// whoever handed it to us.
#pragma once

#include "rewrite.h"

#define ANSWER_HOPS 64

// answer_by gives a packet to whoever handed it to us.
static __always_inline long answer_by(struct __sk_buff *skb)
{
	__u8 macs[2 * ETH_ALEN], swapped[2 * ETH_ALEN];

	if (packet_load(skb, 0, macs, sizeof(macs)))
		return -1;
	__builtin_memcpy(swapped, macs + ETH_ALEN, ETH_ALEN);
	__builtin_memcpy(swapped + ETH_ALEN, macs, ETH_ALEN);
	return packet_store(skb, 0, swapped, sizeof(swapped), 0);
}

static __always_inline long answer_swap(struct __sk_buff *skb, struct packet *p)
{
	__u32 change = 0; // none: the sum of both is the same

	p->hops_to = ANSWER_HOPS;
	p->ip_to.source = p->ip.destination;
	p->ip_to.destination = p->ip.source;
	return answer_by(skb) || rewrite_ip(skb, p, &change);
}

// answer_ping makes an echo request its reply.
static __noinline long answer_ping(struct __sk_buff *skb, struct packet *p)
{
	__u8 reply = p->v4 ? ICMP_ECHO_REPLY : ICMP6_ECHO_REPLY;
	__u8 request = p->v4 ? ICMP_ECHO_REQUEST : ICMP6_ECHO_REQUEST;

	return bpf_l4_csum_replace(skb, p->at + offsetof(struct icmp, checksum), bpf_htons(request << 8), bpf_htons(reply << 8), 2) ||
	       packet_store(skb, p->at, &reply, sizeof(reply), 0) || answer_swap(skb, p);
}

// checksum_is_left says whether the kernel or a device is to complete a packet's
// checksum, as of what a machine sent itself: then what is in the header is the sum of
// the pseudo header, and a change of other bytes changes nothing.
static __always_inline bool checksum_is_left(struct __sk_buff *skb, __u32 at)
{
	__be16 before = 0, after = 0;

	return !packet_load(skb, at, &before, sizeof(before)) && !bpf_l4_csum_replace(skb, at, 0, 1, 0) &&
	       !packet_load(skb, at, &after, sizeof(after)) && before == after;
}

// pseudo_sum returns the sum of the pseudo header of a TCP segment that is its header
// alone.
static __always_inline __u32 pseudo_sum(struct packet *p)
{
	__be32 rest = bpf_htonl(IPPROTO_TCP << 16 | sizeof(struct tcphdr));
	__u32 sum = bpf_csum_diff(NULL, 0, &rest, sizeof(rest), 0);
	__be32 v4[2] = { p->ip.source.word[3], p->ip.destination.word[3] };

	return p->v4 ? bpf_csum_diff(NULL, 0, v4, sizeof(v4), sum) : bpf_csum_diff(NULL, 0, (__be32 *)&p->ip, sizeof(p->ip), sum);
}

// answer_length makes a packet that was cut behind its TCP header say so.
static __always_inline long answer_length(struct __sk_buff *skb, const struct packet *p)
{
	__u32 end = p->at + sizeof(struct tcphdr);
	__be16 old, new = bpf_htons(end - ETH_HLEN);
	const __u32 v4 = ETH_HLEN + offsetof(struct iphdr, tot_len), v6 = ETH_HLEN + offsetof(struct ipv6hdr, payload_len);

	if (p->v4)
		return packet_load(skb, v4, &old, sizeof(old)) ||
		       bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check), old, new, sizeof(new)) ||
		       packet_store(skb, v4, &new, sizeof(new), 0);
	new = bpf_htons(end - ETH_HLEN - sizeof(struct ipv6hdr));
	return packet_store(skb, v6, &new, sizeof(new), BPF_F_RECOMPUTE_CSUM);
}

// reset_of is the header of the reset that answers a segment (RFC 9293, 3.10.7.1).
static __always_inline struct tcphdr reset_of(const struct packet *p, const struct tcphdr *tcp)
{
	struct tcphdr rst = { .source = tcp->dest, .dest = tcp->source, .doff = sizeof(rst) / 4, .rst = 1 };

	if (tcp->ack) {
		rst.seq = tcp->ack_seq;
	} else {
		rst.ack = 1;
		rst.ack_seq = bpf_htonl(bpf_ntohl(tcp->seq) + tcp->syn + tcp->fin + (p->end - p->at - tcp->doff * 4));
	}
	return rst;
}

// reset_alone returns the checksum of a reset that is its header alone.
static __always_inline __u16 reset_alone(struct packet *p, struct tcphdr *rst, bool left)
{
	__u32 pseudo = pseudo_sum(p);

	return left ? fold(pseudo) : ~fold((__u64)(__u32)bpf_csum_diff(NULL, 0, (__be32 *)rst, sizeof(*rst), 0) + pseudo);
}

// reset_before returns the checksum of a reset that has the place of a segment's header,
// before what was behind that.
static __always_inline __u16 reset_before(struct tcphdr *tcp, struct tcphdr *rst, bool left)
{
	__u16 was = tcp->check;

	if (left)
		return was;
	tcp->check = 0;
	return ~fold((__u64)(__u16)~was + (__u32)bpf_csum_diff((__be32 *)tcp, sizeof(*tcp), (__be32 *)rst, sizeof(*rst), 0));
}

// answer_reset makes a TCP segment the reset that answers it. The kernel cuts no packet that
// came in a tunnel and was never on a wire: what was in it goes back behind the header, which
// a receiver allows (RFC 9293, 3.5.3).
static __noinline long answer_reset(struct __sk_buff *skb, struct packet *p)
{
	struct tcphdr tcp, rst;
	bool left;

	if (packet_load(skb, p->at, &tcp, sizeof(tcp)))
		return -1;
	rst = reset_of(p, &tcp);
	left = checksum_is_left(skb, p->at + offsetof(struct tcphdr, check));
	if (answer_swap(skb, p)) // first: p->ip_check is what came
		return -1;
	if (bpf_skb_change_tail(skb, p->at + sizeof(rst), 0))
		rst.check = reset_before(&tcp, &rst, left);
	else if (answer_length(skb, p))
		return -1;
	else
		rst.check = reset_alone(p, &rst, left);
	return packet_store(skb, p->at, &rst, sizeof(rst), BPF_F_RECOMPUTE_CSUM);
}
