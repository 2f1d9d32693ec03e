//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Packets of flows that go on, before the kernel makes anything of them (XDP). from_wire
// does what from_uplink would, for less. It decides nothing new: whatever begins or ends, is
// for this node, in fragments, has options or is an error it leaves to from_uplink as it came;
// so it does with a packet of each way now and then, for by those the kernel keeps its
// neighbours.
#include "include/follow.h"

// The devices that have this program and take frames of others, and their addresses.
struct wire {
	__u8 address[ETH_ALEN];
	__u8 pad[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct wire);
} wires SEC(".maps");

// So long a way is gone without the kernel, which asks for a neighbour of whom it has heard
// nothing for a while when it sends it something.
#define WAY_KEPT (2 * SECOND)

#define AT_V4 (ETH_HLEN + sizeof(struct iphdr))
#define AT_V6 (ETH_HLEN + sizeof(struct ipv6hdr))

// wire_at returns a place in the frame that so many bytes follow, or NULL. Both are
// constants.
static __always_inline void *wire_at(struct xdp_md *ctx, __u32 at, __u32 size)
{
	void *place = (void *)(long)ctx->data + at;

	return place + size <= (void *)(long)ctx->data_end ? place : NULL;
}

static __always_inline bool wire_read_tcp(struct packet *p, const struct tcphdr *tcp)
{
	if (!tcp || tcp->doff < 5 || p->at + tcp->doff * 4 > p->end)
		return false;
	p->flags = ((const __u8 *)tcp)[13];
	if (p->flags & (TCP_SYN | TCP_FIN | TCP_RST)) // what begins and ends
		return false;
	p->tuple.source_port = tcp->source;
	p->tuple.destination_port = tcp->dest;
	p->sequence = bpf_ntohl(tcp->seq);
	p->acknowledgement = bpf_ntohl(tcp->ack_seq);
	return true;
}

static __always_inline bool wire_read_udp(struct packet *p, const struct udphdr *udp)
{
	if (!udp || bpf_ntohs(udp->len) < sizeof(*udp) || p->at + bpf_ntohs(udp->len) > p->end)
		return false;
	p->tuple.source_port = udp->source;
	p->tuple.destination_port = udp->dest;
	return true;
}

static __always_inline bool wire_read_transport(struct xdp_md *ctx, struct packet *p, __u32 at)
{
	p->at = at;
	if (p->tuple.protocol == IPPROTO_TCP)
		return wire_read_tcp(p, wire_at(ctx, at, sizeof(struct tcphdr)));
	return p->tuple.protocol == IPPROTO_UDP && wire_read_udp(p, wire_at(ctx, at, sizeof(struct udphdr)));
}

static __always_inline bool wire_read_v4(struct xdp_md *ctx, struct packet *p)
{
	struct iphdr *ip = wire_at(ctx, ETH_HLEN, sizeof(*ip));

	if (!ip || ip->version != 4 || ip->ihl != 5 || ip->frag_off & bpf_htons(0x3fff))
		return false;
	p->v4 = true;
	p->ip.source = p->tuple.source = address_v4(ip->saddr);
	p->ip.destination = p->tuple.destination = address_v4(ip->daddr);
	p->tuple.protocol = ip->protocol;
	p->end = ETH_HLEN + bpf_ntohs(ip->tot_len);
	p->hops = ip->ttl;
	p->traffic_class = ip->tos;
	return wire_read_transport(ctx, p, AT_V4);
}

static __always_inline bool wire_read_v6(struct xdp_md *ctx, struct packet *p)
{
	struct ipv6hdr *ip = wire_at(ctx, ETH_HLEN, sizeof(*ip));

	if (!ip || ip->version != 6)
		return false;
	p->ip.source = p->tuple.source = address_of6(&ip->saddr);
	p->ip.destination = p->tuple.destination = address_of6(&ip->daddr);
	// ::ffff:a.b.c.d would pass for IPv4, and is no address on a wire.
	if (address_is_v4(&p->tuple.source) || address_is_v4(&p->tuple.destination))
		return false;
	p->tuple.protocol = ip->nexthdr;
	p->end = AT_V6 + bpf_ntohs(ip->payload_len);
	p->hops = ip->hop_limit;
	p->traffic_class = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	return wire_read_transport(ctx, p, AT_V6);
}

// wire_read reads the headers of a packet of TCP or UDP that has no others.
static __always_inline bool wire_read(struct xdp_md *ctx, struct packet *p)
{
	struct ethhdr *ethernet = wire_at(ctx, 0, sizeof(*ethernet));
	bool read;

	if (!ethernet)
		return false;
	__builtin_memcpy(p->station, ethernet->h_dest, sizeof(p->station));
	if (ethernet->h_proto == bpf_htons(ETH_P_IP))
		read = wire_read_v4(ctx, p);
	else
		read = ethernet->h_proto == bpf_htons(ETH_P_IPV6) && wire_read_v6(ctx, p);
	p->kind = KIND_FLOW;
	return read && p->hops > 1 && p->end <= ctx->data_end - ctx->data;
}

static __always_inline bool station_equal(const __u8 *a, const __u8 *b)
{
	return *(__u32 *)a == *(__u32 *)b && *(__u16 *)(a + 4) == *(__u16 *)(b + 4);
}

// wire_goes says whether a frame that was sent to this node can leave by p->out.
static __always_inline bool wire_goes(struct xdp_md *ctx, const struct packet *p)
{
	__u32 here = ctx->ingress_ifindex;
	struct wire *in;

	if (p->out == here)
		return station_equal(p->station, p->stations.from);
	in = bpf_map_lookup_elem(&wires, &here);
	return in && station_equal(p->station, in->address) && bpf_map_lookup_elem(&wires, &p->out);
}

// wire_ask returns the way that the kernel says, and notes it; NULL when the kernel does not
// know the neighbour, or the way has no number.
static __noinline struct numbered_way *wire_ask(struct xdp_md *ctx, struct packet *p, __u32 length)
{
	__u32 number;

	if (route_ask(ctx, p, ctx->ingress_ifindex, length))
		return NULL;
	p->note = way_note(p);
	number = way_number(p->note);
	return number ? bpf_map_lookup_elem(&ways, &number) : NULL;
}

// wire_way finds where a packet of so many bytes goes; false when the kernel is to find it,
// or to send one again.
static __always_inline bool wire_way(struct xdp_md *ctx, struct packet *p, __u32 length)
{
	struct numbered_way *n = way_remembered(p);

	p->note = 0;
	if (!n)
		n = wire_ask(ctx, p, length);
	if (!n || p->now - READ_ONCE(n->used) > WAY_KEPT || length > n->way.mtu)
		return false;
	p->out = n->way.device;
	p->stations = n->way.stations;
	return wire_goes(ctx, p);
}

// wire_follow finds where a client's packet goes, if it goes on elsewhere.
static __noinline bool wire_follow(struct xdp_md *ctx, struct packet *p)
{
	struct conntrack *c;

	p->client = p->tuple;
	p->now = bpf_ktime_get_coarse_ns();
	c = flow_by_client(&p->client, &p->reply);
	if (!c || READ_ONCE(c->flags) & FLOW_LOCAL || flow_settles(c) || !goes_on(p, c) || !goes_where(p, c))
		return false;
	p->way_known = flow_way(c, &p->reply, WAY_OUT, p->now);
	if (!p->tunnel)
		p->to = tuple_reversed(&p->reply);
	else if (!tunnel_ends(p))
		return false;
	if (!wire_way(ctx, p, packet_length(p) + (p->tunnel ? tunnel_overhead(p->v4) : 0)))
		return false;
	// Not before it is known whose frame it is; by then the entry may be another flow's.
	if (!tuple_equal(&c->reply, &p->reply))
		return false;
	goes_with(p, c);
	return true;
}

// wire_answer finds where a backend's packet goes.
static __noinline bool wire_answer(struct xdp_md *ctx, struct packet *p, struct conntrack *c)
{
	p->to = tuple_reversed(&p->client);
	if (!wire_way(ctx, p, packet_length(p)) || !tuple_equal(&c->reply, &p->tuple))
		return false;
	answers_with(p, c);
	return true;
}

// A checksum after a change.
static __always_inline __sum16 mended(__sum16 check, __u64 change)
{
	return ~fold((__u64)(__u16)~check + change);
}

// wire_hops_v4 takes a hop off, and mends the checksum for that and for another change.
static __always_inline void wire_hops_v4(struct iphdr *ip, __u64 change)
{
	__be16 old = bpf_htons(ip->ttl << 8);

	ip->ttl--;
	ip->check = mended(ip->check, change + (__u16)~old + bpf_htons(ip->ttl << 8));
}

// wire_ports writes the ports of p->to, and mends the checksum for them and for a change
// of the addresses. One of UDP that is 0 is none, and stays so.
static __always_inline bool wire_ports(struct xdp_md *ctx, struct packet *p, __u32 at, __u64 change)
{
	__be16 old[2] = { p->tuple.source_port, p->tuple.destination_port };
	__be16 new[2] = { p->to.source_port, p->to.destination_port };

	change += sum_change((__be32 *)old, (__be32 *)new, 1);
	if (p->tuple.protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = wire_at(ctx, at, sizeof(*tcp));

		if (!tcp)
			return false;
		tcp->source = new[0];
		tcp->dest = new[1];
		tcp->check = mended(tcp->check, change);
		return true;
	}

	struct udphdr *udp = wire_at(ctx, at, sizeof(*udp));

	if (!udp)
		return false;
	udp->source = new[0];
	udp->dest = new[1];
	if (udp->check) {
		udp->check = mended(udp->check, change);
		if (!udp->check)
			udp->check = 0xffff;
	}
	return true;
}

static __always_inline bool wire_rewrite_v4(struct xdp_md *ctx, struct packet *p)
{
	struct iphdr *ip = wire_at(ctx, ETH_HLEN, sizeof(*ip));
	__be32 to[2] = { p->to.source.word[3], p->to.destination.word[3] };
	__u32 change;

	if (!ip)
		return false;

	__be32 from[2] = { ip->saddr, ip->daddr };

	change = sum_change(from, to, 2);
	ip->saddr = to[0];
	ip->daddr = to[1];
	wire_hops_v4(ip, change);
	return wire_ports(ctx, p, AT_V4, change);
}

static __always_inline bool wire_rewrite_v6(struct xdp_md *ctx, struct packet *p)
{
	struct ipv6hdr *ip = wire_at(ctx, ETH_HLEN, sizeof(*ip));

	if (!ip)
		return false;
	__builtin_memcpy(&ip->saddr, &p->to.source, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, &p->to.destination, sizeof(ip->daddr));
	ip->hop_limit--;
	return wire_ports(ctx, p, AT_V6, sum_change((__be32 *)&p->ip, (__be32 *)&p->to, sizeof(p->ip) / sizeof(__be32)));
}

// wire_wrap fills in the header between the nodes, for which there is room, and takes a hop
// off the client's packet.
static __always_inline bool wire_wrap(struct xdp_md *ctx, struct packet *p)
{
	if (p->v4) {
		struct iphdr *ip = wire_at(ctx, ETH_HLEN, 2 * sizeof(*ip));

		if (!ip)
			return false;
		ip[0] = tunnel_head_v4(p);
		wire_hops_v4(&ip[1], 0);
	} else {
		struct ipv6hdr *ip = wire_at(ctx, ETH_HLEN, 2 * sizeof(*ip));

		if (!ip)
			return false;
		ip[0] = tunnel_head_v6(p);
		ip[1].hop_limit--;
	}
	return true;
}

// wire_address writes the Ethernet header.
static __always_inline bool wire_address(struct xdp_md *ctx, struct packet *p)
{
	struct ethhdr *ethernet = wire_at(ctx, 0, sizeof(*ethernet));

	if (!ethernet)
		return false;
	__builtin_memcpy(ethernet, &p->stations, sizeof(p->stations));
	ethernet->h_proto = p->v4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	return true;
}

// wire_send sends a packet the way that was found. From here on it is changed.
static __always_inline int wire_send(struct xdp_md *ctx, struct packet *p, enum packet_outcome outcome)
{
	bool done = outcome == PACKET_TUNNELLED ? wire_wrap(ctx, p) : p->v4 ? wire_rewrite_v4(ctx, p) : wire_rewrite_v6(ctx, p);

	if (!done || !wire_address(ctx, p)) { // it was long enough before
		packet_count(PACKET_FAILED);
		return XDP_DROP;
	}
	packet_count(EVENT_WIRE);
	packet_count(outcome);
	return p->out == ctx->ingress_ifindex ? XDP_TX : bpf_redirect(p->out, 0);
}

// wire_client leads a client's packet.
static __always_inline int wire_client(struct xdp_md *ctx, struct packet *p)
{
	if (!opaque(p, wire_follow(ctx, p)))
		return XDP_PASS;
	if (p->tunnel && bpf_xdp_adjust_head(ctx, -(int)tunnel_overhead(p->v4)))
		return XDP_PASS;
	if (p->note)
		goes_this_way(p, p->note, &p->reply, WAY_OUT);
	return wire_send(ctx, p, p->tunnel ? PACKET_TUNNELLED : PACKET_FORWARDED);
}

SEC("xdp")
int from_wire(struct xdp_md *ctx)
{
	struct packet *p = packet_begin(FROM_WIRE);
	struct conntrack *c;

	if (!p || !wire_read(ctx, p))
		return XDP_PASS;
	p->owned = owned_flags_of(&p->ip.destination);
	c = p->owned & OWNED_NODE ? find_answered(p) : NULL;
	if (c) {
		if (!opaque(p, wire_answer(ctx, p, c)))
			return XDP_PASS;
		if (p->note)
			goes_this_way(p, p->note, &p->tuple, WAY_BACK);
		return wire_send(ctx, p, PACKET_ANSWERED);
	}
	return p->owned & OWNED_SERVICE ? wire_client(ctx, p) : XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
