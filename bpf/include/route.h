// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Routes: the kernel's own tables say where a packet goes, and its neighbours how.
#pragma once

#include "packet.h"

// route sends a packet that was rewritten to where p->to goes, and returns the verdict,
// or less than zero: the outcome of one that cannot go. It passes the
// kernel's own forwarding by, and netfilter with it, which knows half of the flow.
static __noinline int route(struct __sk_buff *skb, struct packet *p)
{
	const struct tuple *to = &p->to;
	struct bpf_fib_lookup f = {
		.family = p->v4 ? AF_INET : AF_INET6,
		.l4_protocol = to->protocol,
		.sport = to->source_port,
		.dport = to->destination_port,
		.ifindex = skb->ifindex,
	};
	struct bpf_redir_neigh next = {};

	if (p->v4) {
		f.ipv4_src = to->source.word[3];
		f.ipv4_dst = to->destination.word[3];
	} else {
		__builtin_memcpy(f.ipv6_src, &to->source, sizeof(f.ipv6_src));
		__builtin_memcpy(f.ipv6_dst, &to->destination, sizeof(f.ipv6_dst));
	}
	// Without a length the kernel looks at the packet itself, and its segments.
	switch (bpf_fib_lookup(skb, &f, sizeof(f), 0)) {
	case BPF_FIB_LKUP_RET_SUCCESS:
	case BPF_FIB_LKUP_RET_NO_NEIGH: // it will be asked for
		break;
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		return -PACKET_TOO_BIG;
	default:
		return -PACKET_NO_ROUTE;
	}
	next.nh_family = f.family; // an IPv4 route may have a next hop of IPv6
	__builtin_memcpy(next.ipv6_nh, f.ipv6_dst, sizeof(next.ipv6_nh));
	return bpf_redirect_neigh(f.ifindex, &next, sizeof(next), 0); // Linux 5.10
}
