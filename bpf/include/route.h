// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Routes: the kernel's own tables say where a packet goes, and its neighbours how.
#pragma once

#include "packet.h"
#include "way.h"

// route_ask asks the kernel for the way of a packet of the tuple p->to, and returns 0, or
// less than zero: the outcome of one that cannot go. Of a way whose neighbour is known
// p->mtu and p->stations are there, too.
static __always_inline int route_ask(void *ctx, struct packet *p, __u32 device, __u32 length)
{
	const struct tuple *to = &p->to;
	struct bpf_fib_lookup f = {
		.family = p->v4 ? AF_INET : AF_INET6,
		.l4_protocol = to->protocol,
		.sport = to->source_port,
		.dport = to->destination_port,
		.tot_len = length,
		.ifindex = device,
	};

	if (p->v4) {
		f.ipv4_src = to->source.word[3];
		f.ipv4_dst = to->destination.word[3];
	} else {
		__builtin_memcpy(f.ipv6_src, &to->source, sizeof(f.ipv6_src));
		__builtin_memcpy(f.ipv6_dst, &to->destination, sizeof(f.ipv6_dst));
	}
	p->mtu = 0;
	switch (bpf_fib_lookup(ctx, &f, sizeof(f), 0)) {
	case BPF_FIB_LKUP_RET_SUCCESS:
		p->mtu = f.mtu_result; // Linux 5.12
		__builtin_memcpy(p->stations.to, f.dmac, ETH_ALEN);
		__builtin_memcpy(p->stations.from, f.smac, ETH_ALEN);
		break;
	case BPF_FIB_LKUP_RET_NO_NEIGH: // it will be asked for
		break;
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		p->mtu = f.mtu_result;
		return -PACKET_TOO_BIG;
	default:
		return -PACKET_NO_ROUTE;
	}
	p->out = f.ifindex;
	p->next.nh_family = f.family; // an IPv4 route may have a next hop of IPv6
	__builtin_memcpy(p->next.ipv6_nh, f.ipv6_dst, sizeof(p->next.ipv6_nh));
	return 0;
}

// route_find finds the way of a packet of the tuple p->to, as its flow remembers it or
// with route_ask. The length is that of the IP packet, or 0: then the kernel looks at the
// packet itself, and its segments.
static __noinline int route_find(struct __sk_buff *skb, struct packet *p, __u32 length)
{
	p->way_asked = !way_recall(skb, p, length);
	return p->way_asked ? route_ask(skb, p, skb->ifindex, length) : 0;
}

// route_take sends a packet the way that was found, and returns the verdict. It passes the
// kernel's own forwarding by, and netfilter with it, which knows half of the flow.
static __always_inline int route_take(struct packet *p)
{
	return bpf_redirect_neigh(p->out, &p->next, sizeof(p->next), 0); // Linux 5.10
}

// route sends a packet that was rewritten to where p->to goes, and returns the verdict,
// or less than zero: the outcome of one that cannot go.
static __always_inline int route(struct __sk_buff *skb, struct packet *p)
{
	int way = opaque(p, route_find(skb, p, 0));

	return way ? way : route_take(p);
}
