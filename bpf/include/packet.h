// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Packets: what the headers say. The rest of the packet path looks at a packet by
// what is here alone; only this file and rewrite.h, route.h and answer.h know what
// a program of tc is given.
#pragma once

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "fragment.h"
#include "tuple.h"

// What is looked at.
enum packet_kind {
	KIND_OTHER, // no IP, or of a protocol that is not balanced
	KIND_FLOW,  // TCP or UDP
	KIND_ERROR, // an ICMP error about a packet of TCP or UDP
	KIND_ECHO,  // an echo request
	KIND_BROKEN,
	KIND_LATER, // a fragment whose first was not seen
};

// The flags of TCP, as the byte of its header has them.
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

// The head of an ICMP message, in both families. (linux/icmp.h drags the C library in.)
struct icmp {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be32 rest;
};

enum icmp_type {
	ICMP_ECHO_REPLY = 0,
	ICMP_UNREACHABLE = 3,
	ICMP_FRAGMENTATION_NEEDED = 4, // a code of it
	ICMP_ECHO_REQUEST = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETER_PROBLEM = 12,

	ICMP6_TOO_BIG = 2,
	ICMP6_FIRST_MESSAGE = 128, // errors are those below
	ICMP6_ECHO_REQUEST = 128,
	ICMP6_ECHO_REPLY = 129,
};

// So many headers are passed over between that of IPv6 and the transport's.
#define EXTENSIONS 4

// The first of an Ethernet header: to whom on the wire, and from whom.
struct stations {
	__u8 to[ETH_ALEN], from[ETH_ALEN];
};

struct addresses {
	struct address source, destination;
};

// A packet, and what is worked out of it on its way: a program's stack would not
// hold it.
struct packet {
	// As on the wire. Of an ICMP error: that of packets which go where the error
	// goes, in the flow that it is about. Ports are 0 where there are none.
	struct tuple tuple;
	struct addresses ip; // of the IP header
	__be32 id;           // of fragments
	__u32 at;            // where the transport's header is
	__u32 end;           // where the packet ends, by its IP header
	__u32 inner;         // of an ICMP error: where the IP header in it is
	__u32 inner_at;      // and the transport's
	__u32 owned;         // owned_flags of its destination
	__u8 kind;
	__u8 hops;
	__u8 flags;            // of TCP
	__u32 sequence;        // of TCP; of an ICMP error: of the packet in it
	__u32 acknowledgement; // of TCP
	bool v4;
	__u8 traffic_class; // of the IP header, with the bits of congestion
	__u8 ip_protocol;   // of IPv4: of an error p->tuple is not
	__sum16 ip_check;   // of IPv4
	bool more;  // fragments follow
	bool later; // a fragment that is not the first: it has no transport header

	// Of the flow that it belongs to.
	bool local;          // the backend is on this node
	bool host;           // the backend has an address of this node
	bool anyway;         // it is held for down, as all are
	bool lost;           // it is of a connection that is not known here
	bool tunnel;         // it goes to the backend's node in a tunnel
	bool tunnelled;      // it came from another node in one
	struct tuple client; // of the client's packets
	struct tuple reply;  // of the backend's
	__u64 now;           // bpf_ktime_get_coarse_ns()
	__be16 waits;        // a port that may be had if there is no other, 0 is none
	bool pressed;        // there is no other

	// What it becomes.
	struct tuple to;
	struct addresses ip_to;
	__u8 hops_to;
	struct address way; // where the backend's node takes tunnels

	// Where it goes out.
	__u32 way_known; // what its flow remembers
	__u32 note;      // what it is to remember
	bool way_asked;  // the kernel was asked
	bool remembers;  // the flow was known
	__u32 out;
	__u32 mtu; // of the way, 0 where that is not known
	struct bpf_redir_neigh next;
	struct stations stations; // if there is an mtu
	__u8 station[ETH_ALEN];   // to which the frame came

	// Of the packet in an ICMP error, before and after.
	struct tuple was, becomes;

	__u8 quoted[60]; // of a packet that is too big: its headers

	union { // the header that was read last
		struct ethhdr ethernet;
		struct iphdr v4;
		struct ipv6hdr v6;
		struct tcphdr tcp;
		struct udphdr udp;
	} head;

	__u64 said; // see opaque
};

// Which memory a program uses.
enum packet_program { FROM_UPLINK, TO_UPLINK, FROM_WIRE, PACKET_PROGRAMS };

// One for each program that looks at packets. They run with bottom halves off, so that
// nobody else on the CPU comes between.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, PACKET_PROGRAMS);
	__type(key, __u32);
	__type(value, struct packet);
} packets SEC(".maps");

// packet_length is how long an IP packet is, with its header.
static __always_inline __u32 packet_length(const struct packet *p)
{
	return p->end - ETH_HLEN;
}

// opaque returns what a function returned as a value that the verifier knows nothing
// of. Before Linux 6.5 it loses track of constants over calls ("fix
// mark_all_scalars_precise use in mark_chain_precision"): it holds a branch for one that
// it has seen, and takes the code away that the branch leads to. So no decision is made
// of what a function returned, or of what was known before it, but by this.
static __always_inline __s64 opaque(struct packet *p, __s64 value)
{
	WRITE_ONCE(p->said, value);
	return READ_ONCE(p->said);
}

static __always_inline long packet_load(struct __sk_buff *skb, __u32 at, void *to, __u32 size)
{
	return bpf_skb_load_bytes(skb, at, to, size);
}

// So far into a packet its headers are read without a call, where they are in one piece.
#define NEAR 256

// copy_header copies by words, for all that headers are not aligned to them: the compiler
// would do it by bytes.
static __always_inline void copy_header(void *to, const void *from, __u32 size)
{
	__u32 at = 0;

	for (; at + sizeof(__u32) <= size; at += sizeof(__u32))
		*(__u32 *)(to + at) = *(const __u32 *)(from + at);
	if (at < size)
		*(__u16 *)(to + at) = *(const __u16 *)(from + at);
}

// packet_head reads so many bytes of a header, a constant, into p->head. That is no place
// on the stack, so that the verifier sees no difference in how it was read.
static __always_inline long packet_head(struct __sk_buff *skb, struct packet *p, __u32 at, __u32 size)
{
	if (at < NEAR) {
		__u64 near = at;
		__u8 *from;

		// A bound that the verifier sees, and one pointer, which is checked and read by:
		// the compiler would take the one away, and make two of the other.
		asm volatile("%0 &= %1" : "+r"(near) : "i"(NEAR - 1));
		from = (__u8 *)(long)skb->data + near;
		asm volatile("" : "+r"(from));
		if (from + size <= (__u8 *)(long)skb->data_end) {
			copy_header(&p->head, from, size);
			return 0;
		}
	}
	return packet_load(skb, at, &p->head, size);
}

static __always_inline struct address address_of6(const struct in6_addr *a)
{
	struct address out;

	__builtin_memcpy(&out, a, sizeof(out));
	return out;
}

// end_of returns where an IP packet ends. What the kernel put together of many
// segments may be longer than a length field can say, which is 0 then.
static __always_inline __u32 end_of(struct __sk_buff *skb, __u32 from, __u16 length)
{
	return length || !skb->gso_size ? from + length : skb->len;
}

static __always_inline bool packet_read_v4(struct __sk_buff *skb, struct packet *p)
{
	const struct iphdr *ip = &p->head.v4;
	__u16 fragment;

	if (packet_head(skb, p, ETH_HLEN, sizeof(*ip)) || ip->version != 4 || ip->ihl < 5)
		return false;
	fragment = bpf_ntohs(ip->frag_off);
	p->v4 = true;
	p->ip.source = p->tuple.source = address_v4(ip->saddr);
	p->ip.destination = p->tuple.destination = address_v4(ip->daddr);
	p->tuple.protocol = ip->protocol;
	p->at = ETH_HLEN + ip->ihl * 4;
	p->end = end_of(skb, ETH_HLEN, bpf_ntohs(ip->tot_len));
	p->hops = ip->ttl;
	p->traffic_class = ip->tos;
	p->ip_protocol = ip->protocol;
	p->ip_check = ip->check;
	p->id = ip->id;
	p->more = fragment & 0x2000;
	p->later = fragment & 0x1fff;
	return p->at <= p->end && p->end <= skb->len;
}

struct extension {
	__u8 next;
	__u8 length;
	__be16 offset; // of a fragment
	__be32 id;
};

// packet_pass_extensions finds the transport's header behind those of IPv6 that
// change nothing for us; false when there are too many, or one that leads elsewhere.
static __always_inline bool packet_pass_extensions(struct __sk_buff *skb, struct packet *p)
{
	for (int i = 0; i <= EXTENSIONS; i++) {
		struct extension e;

		switch (p->tuple.protocol) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_DSTOPTS:
		case IPPROTO_FRAGMENT:
			break;
		case IPPROTO_ROUTING:
			return false; // the address is not where it goes
		default:
			return true;
		}
		if (packet_load(skb, p->at, &e, sizeof(e)))
			return false;
		if (p->tuple.protocol == IPPROTO_FRAGMENT) {
			p->more = bpf_ntohs(e.offset) & 1;
			p->later = bpf_ntohs(e.offset) & 0xfff8;
			p->id = e.id;
			e.length = 0;
		}
		p->tuple.protocol = e.next;
		p->at += (e.length + 1) * 8;
		if (p->later)
			return true; // what follows is no header
	}
	return false;
}

static __always_inline bool packet_read_v6(struct __sk_buff *skb, struct packet *p)
{
	const struct ipv6hdr *ip = &p->head.v6;

	if (packet_head(skb, p, ETH_HLEN, sizeof(*ip)) || ip->version != 6)
		return false;
	p->ip.source = p->tuple.source = address_of6(&ip->saddr);
	p->ip.destination = p->tuple.destination = address_of6(&ip->daddr);
	p->tuple.protocol = ip->nexthdr;
	p->at = ETH_HLEN + sizeof(*ip);
	p->end = end_of(skb, p->at, bpf_ntohs(ip->payload_len));
	p->hops = ip->hop_limit;
	p->traffic_class = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	// ::ffff:a.b.c.d would pass for IPv4, and is no address on a wire.
	return !address_is_v4(&p->tuple.source) && !address_is_v4(&p->tuple.destination) && p->end <= skb->len;
}

// packet_read_ip reads the IP header; false for what is no IP packet for this
// machine, or whose header is wrong. VLANs have devices of their own.
static __always_inline bool packet_read_ip(struct __sk_buff *skb, struct packet *p)
{
	__be16 protocol;

	if (packet_head(skb, p, 0, sizeof(struct ethhdr)))
		return false;
	protocol = p->head.ethernet.h_proto;
	if (protocol != skb->protocol || skb->vlan_present)
		return false;
	if (protocol == bpf_htons(ETH_P_IP))
		return packet_read_v4(skb, p);
	return protocol == bpf_htons(ETH_P_IPV6) && packet_read_v6(skb, p);
}

static __always_inline enum packet_kind packet_read_tcp(struct __sk_buff *skb, struct packet *p)
{
	const struct tcphdr *tcp = &p->head.tcp;

	if (p->at + sizeof(*tcp) > p->end || packet_head(skb, p, p->at, sizeof(*tcp)) ||
	    tcp->doff < 5 || p->at + tcp->doff * 4 > p->end)
		return KIND_BROKEN;
	p->tuple.source_port = tcp->source;
	p->tuple.destination_port = tcp->dest;
	p->flags = ((const __u8 *)tcp)[13];
	p->sequence = bpf_ntohl(tcp->seq);
	p->acknowledgement = bpf_ntohl(tcp->ack_seq);
	return KIND_FLOW;
}

static __always_inline enum packet_kind packet_read_udp(struct __sk_buff *skb, struct packet *p)
{
	const struct udphdr *udp = &p->head.udp;

	if (p->at + sizeof(*udp) > p->end || packet_head(skb, p, p->at, sizeof(*udp)) ||
	    bpf_ntohs(udp->len) < sizeof(*udp) || (!p->more && p->at + bpf_ntohs(udp->len) > p->end))
		return KIND_BROKEN;
	p->tuple.source_port = udp->source;
	p->tuple.destination_port = udp->dest;
	return KIND_FLOW;
}

// packet_read_inner reads the head of the packet that an ICMP error is about. It
// was sent from where the error goes.
static __always_inline enum packet_kind packet_read_inner(struct __sk_buff *skb, struct packet *p)
{
	struct tuple *inner = &p->was;
	struct {
		__be16 ports[2];
		__be32 sequence; // of TCP
	} head;

	p->inner = p->at + sizeof(struct icmp);
	if (p->v4) {
		struct iphdr ip;

		if (packet_load(skb, p->inner, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
			return KIND_BROKEN;
		if (ip.frag_off & bpf_htons(0x1fff))
			return KIND_OTHER;
		inner->source = address_v4(ip.saddr);
		inner->destination = address_v4(ip.daddr);
		inner->protocol = ip.protocol;
		p->inner_at = p->inner + ip.ihl * 4;
	} else {
		struct ipv6hdr ip;

		if (packet_load(skb, p->inner, &ip, sizeof(ip)) || ip.version != 6)
			return KIND_BROKEN;
		inner->source = address_of6(&ip.saddr);
		inner->destination = address_of6(&ip.daddr);
		inner->protocol = ip.nexthdr;
		p->inner_at = p->inner + sizeof(ip);
	}
	if (inner->protocol != IPPROTO_TCP && inner->protocol != IPPROTO_UDP)
		return KIND_OTHER;
	// Of the transport's header there are 8 bytes at least.
	if (p->inner_at + sizeof(head) > p->end || packet_load(skb, p->inner_at, &head, sizeof(head)) ||
	    !address_equal(&inner->source, &p->tuple.destination))
		return KIND_BROKEN;
	inner->source_port = head.ports[0];
	inner->destination_port = head.ports[1];
	p->sequence = bpf_ntohl(head.sequence);
	p->tuple = tuple_reversed(inner);
	return KIND_ERROR;
}

static __always_inline enum packet_kind packet_read_icmp(struct __sk_buff *skb, struct packet *p)
{
	struct icmp icmp;

	if (p->more || p->later)
		return KIND_OTHER;
	if (p->at + sizeof(icmp) > p->end || packet_load(skb, p->at, &icmp, sizeof(icmp)))
		return KIND_BROKEN;
	if (!p->v4)
		return icmp.type == ICMP6_ECHO_REQUEST ? KIND_ECHO
		       : icmp.type < ICMP6_FIRST_MESSAGE ? packet_read_inner(skb, p) : KIND_OTHER;
	switch (icmp.type) {
	case ICMP_ECHO_REQUEST:
		return KIND_ECHO;
	case ICMP_UNREACHABLE:
	case ICMP_TIME_EXCEEDED:
	case ICMP_PARAMETER_PROBLEM:
		return packet_read_inner(skb, p);
	}
	return KIND_OTHER;
}

// packet_read_fragment finds the ports of a later fragment, and remembers those of a
// first one.
static __always_inline enum packet_kind packet_read_fragment(struct packet *p, enum packet_kind kind)
{
	struct fragment_key key = {
		.source = p->ip.source,
		.destination = p->ip.destination,
		.id = p->id,
		.protocol = p->tuple.protocol,
	};

	if (!p->later) {
		if (kind == KIND_FLOW)
			fragment_remember(&key, &p->tuple);
		return kind;
	}
	return fragment_recall(&key, &p->tuple) ? KIND_FLOW : KIND_LATER;
}

// packet_read_transport reads what follows the IP header.
static __noinline __unused void packet_read_transport(struct __sk_buff *skb, struct packet *p)
{
	enum packet_kind kind = KIND_OTHER;

	if (!p->v4 && !packet_pass_extensions(skb, p)) {
		p->kind = KIND_BROKEN;
		return;
	}
	switch (p->tuple.protocol) {
	case IPPROTO_TCP:
		kind = p->later ? KIND_LATER : packet_read_tcp(skb, p);
		break;
	case IPPROTO_UDP:
		kind = p->later ? KIND_LATER : packet_read_udp(skb, p);
		break;
	case IPPROTO_ICMP:
		kind = p->v4 ? packet_read_icmp(skb, p) : KIND_OTHER;
		break;
	case IPPROTO_ICMPV6:
		kind = p->v4 ? KIND_OTHER : packet_read_icmp(skb, p);
		break;
	}
	if (kind != KIND_OTHER && (p->more || p->later))
		kind = packet_read_fragment(p, kind);
	p->kind = kind;
}

// packet_begin returns the memory for a packet, as good as empty.
static __always_inline struct packet *packet_begin(__u32 which)
{
	struct packet *p = bpf_map_lookup_elem(&packets, &which);

	if (!p)
		return NULL;
	p->tuple = (struct tuple){};
	p->was = (struct tuple){};
	p->owned = p->kind = p->flags = 0;
	p->way_known = 0;
	p->remembers = false;
	p->v4 = p->more = p->later = p->local = p->tunnel = p->tunnelled = false;
	return p;
}
