// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Segments: a client is told to make its segments so short that they fit into a tunnel.
// It learns so from the SYN-ACK (RFC 9293, section 3.7.1); ICMP alone would be too late,
// for the first long segment, and is lost on many ways.
#pragma once

#include "tunnel.h"

#define OPTION_END 0
#define OPTION_NOP 1
#define OPTION_MSS 2
#define OPTION_MSS_LENGTH 4

// So many options are looked at. The first says it, of all systems that we know.
#define OPTIONS 10

// segment_most is the most that fits into the packets that leave by this device; 0 when
// that is not known.
static __always_inline __u16 segment_most(struct __sk_buff *skb, const struct packet *p)
{
	__u32 mtu = 0, headers = sizeof(struct tcphdr) + 2 * tunnel_overhead(p->v4);

	if (bpf_check_mtu(skb, 0, &mtu, 0, 0) < 0 || mtu <= headers) // Linux 5.12
		return 0;
	return mtu - headers > 0xffff ? 0xffff : mtu - headers;
}

// segment_store writes another size in the option at a place. Where that is odd, its
// bytes count the other way round for the checksum.
static __always_inline long segment_store(struct __sk_buff *skb, const struct packet *p, __u32 at, __be16 old, __be16 new)
{
	bool odd = (at - p->at) & 1;

	return bpf_l4_csum_replace(skb, p->at + offsetof(struct tcphdr, check), odd ? __builtin_bswap16(old) : old,
				   odd ? __builtin_bswap16(new) : new, sizeof(new)) ||
	       packet_store(skb, at, &new, sizeof(new), 0);
}

// segment_clamp has the client of a SYN-ACK send no longer segments than fit.
static __noinline long segment_clamp(struct __sk_buff *skb, struct packet *p)
{
	__u16 most = segment_most(skb, p);
	__u32 at = p->at + sizeof(struct tcphdr);

	for (int i = 0; most && i < OPTIONS; i++) {
		__u8 option[2];
		__be16 size;

		if (at >= p->end || packet_load(skb, at, &option[0], 1) || option[0] == OPTION_END)
			return 0;
		if (option[0] == OPTION_NOP) {
			at++;
			continue;
		}
		if (packet_load(skb, at, option, sizeof(option)) || option[1] < sizeof(option))
			return 0;
		if (option[0] != OPTION_MSS || option[1] != OPTION_MSS_LENGTH) {
			at += option[1];
			continue;
		}
		at += sizeof(option);
		if (packet_load(skb, at, &size, sizeof(size)) || bpf_ntohs(size) <= most)
			return 0;
		return segment_store(skb, p, at, size, bpf_htons(most));
	}
	return 0;
}
