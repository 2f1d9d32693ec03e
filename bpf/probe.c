//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Probes are answered by the kernel: a datagram to the port of probes becomes
// its own reply and leaves by the device on which it came. No process takes
// part. It runs at the ingress of the node's uplinks (tcx, or clsact before
// Linux 6.6), on every packet, so what is none of ours is passed over early.
#include "include/probe.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>

EMIT(probe_kind);
EMIT(probe_outcome);
EMIT(probe_type);
struct probe *emit_probe __attribute__((unused));
struct probe_seen *emit_probe_seen __attribute__((unused));

#define HOPS 64 // of a reply

// Set by the loader.
const volatile __be16 probe_port = bpf_htons(7947);
const volatile __u64 probe_interval = 1000000; // ns between probes of one asker, in the long run
const volatile __u64 probe_burst = 1000;       // how many may come at once
const volatile __u8 probe_boot_id[16] = {};

// A datagram to the port of probes.
struct datagram {
	struct address source, destination;
	struct udphdr udp;
	__u32 at;    // where the UDP header is
	__u16 room;  // what the IP header leaves for UDP
	bool odd;
};

static __always_inline bool read_v4(struct __sk_buff *skb, struct datagram *d)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.version != 4 || ip.protocol != IPPROTO_UDP)
		return false;
	// Of later fragments nobody knows the port.
	if (ip.ihl < 5 || ip.frag_off & bpf_htons(0x1fff))
		return false;
	d->source = address_v4(ip.saddr);
	d->destination = address_v4(ip.daddr);
	d->at = ETH_HLEN + ip.ihl * 4;
	d->room = bpf_ntohs(ip.tot_len) - ip.ihl * 4;
	d->odd = ip.ihl != 5 || ip.frag_off & bpf_htons(0x2000);
	return true;
}

// read_v6 takes UDP that follows the header at once; with headers between it is
// none of ours.
static __always_inline bool read_v6(struct __sk_buff *skb, struct datagram *d)
{
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.version != 6 || ip.nexthdr != IPPROTO_UDP)
		return false;
	__builtin_memcpy(&d->source, &ip.saddr, sizeof(d->source));
	__builtin_memcpy(&d->destination, &ip.daddr, sizeof(d->destination));
	// ::ffff:a.b.c.d would pass for IPv4, and is no address on a wire.
	if (address_is_v4(&d->source) || address_is_v4(&d->destination))
		return false;
	d->at = ETH_HLEN + sizeof(ip);
	d->room = bpf_ntohs(ip.payload_len);
	return true;
}

// read_datagram says whether a packet is for the port of probes.
static __always_inline bool read_datagram(struct __sk_buff *skb, struct datagram *d)
{
	__be16 protocol;

	// The frame's own word: on a device without Ethernet it is something else.
	if (bpf_skb_load_bytes(skb, offsetof(struct ethhdr, h_proto), &protocol, sizeof(protocol)) ||
	    protocol != skb->protocol)
		return false;
	if (protocol == bpf_htons(ETH_P_IP) ? !read_v4(skb, d) : protocol != bpf_htons(ETH_P_IPV6) || !read_v6(skb, d))
		return false;
	return !bpf_skb_load_bytes(skb, d->at, &d->udp, sizeof(d->udp)) && d->udp.dest == probe_port;
}

// plain says whether a datagram is all in this one frame, which is for us.
static __always_inline bool plain(struct __sk_buff *skb, const struct datagram *d)
{
	return !d->odd && skb->pkt_type == PACKET_HOST && !skb->vlan_present && !skb->gso_size &&
	       bpf_ntohs(d->udp.len) == d->room && d->at + d->room <= skb->len;
}

static __always_inline bool is_request(const struct probe *p)
{
	return p->magic == bpf_htonl(PROBE_MAGIC) && p->version == PROBE_VERSION && p->type == PROBE_REQUEST &&
	       !p->reserved;
}

// is_target says whether an address is the node's, as that kind.
static __always_inline bool is_target(const struct address *a, __u32 kind)
{
	struct probe_target key = { .prefix = 128, .address = *a };
	__u32 *known = bpf_map_lookup_elem(&probe_targets, &key);

	return known && *known == kind;
}

static __always_inline bool within_limit(struct probe_asker *asker, __u64 now)
{
	bool within;

	bpf_spin_lock(&asker->lock);
	if (asker->full < now)
		asker->full = now;
	within = asker->full - now <= probe_interval * (probe_burst - 1);
	if (within)
		asker->full += probe_interval;
	bpf_spin_unlock(&asker->lock);
	return within;
}

// asker_of returns the bucket of whoever asks, or nothing for a stranger.
static __always_inline struct probe_asker *asker_of(const struct datagram *d, const struct probe *p)
{
	struct probe_asker *asker = bpf_map_lookup_elem(&probes, &d->source);
	__u32 zero = 0;

	if (asker)
		return asker;
	for (int i = 0; i < (int)sizeof(p->boot_id); i++)
		if (p->boot_id[i] != probe_boot_id[i])
			return NULL;
	return bpf_map_lookup_elem(&probe_guests, &zero);
}

// judge decides whether a datagram is answered, and reads the probe in it.
static __always_inline enum probe_outcome judge(struct __sk_buff *skb, const struct datagram *d, struct probe *p)
{
	struct probe_asker *asker;

	if (!plain(skb, d))
		return PROBE_ODD;
	if (d->room < sizeof(struct udphdr) + sizeof(*p) ||
	    bpf_skb_load_bytes(skb, d->at + sizeof(struct udphdr), p, sizeof(*p)) || !is_request(p))
		return PROBE_MALFORMED;
	if (!is_target(&d->destination, p->kind))
		return PROBE_ELSEWHERE;
	asker = asker_of(d, p);
	if (!asker)
		return PROBE_STRANGER;
	return within_limit(asker, bpf_ktime_get_ns()) ? PROBE_ANSWERED : PROBE_LIMITED;
}

static __always_inline void fill_in(struct probe *p, const struct datagram *d)
{
	__u32 zero = 0;
	__u64 *epoch = bpf_map_lookup_elem(&probe_epoch, &zero);

	p->type = PROBE_REPLY;
	p->target = d->destination;
	for (int i = 0; i < (int)sizeof(p->boot_id); i++)
		p->boot_id[i] = probe_boot_id[i];
	p->epoch = epoch ? bpf_cpu_to_be64(READ_ONCE(*epoch)) : 0;
}

// The stores below leave skb->csum right: what is swapped keeps its sum, and
// every other change is made up for by that of a checksum in the packet.

static __always_inline long store_probe(struct __sk_buff *skb, const struct datagram *d,
					struct probe *before, struct probe *after)
{
	__s64 diff = bpf_csum_diff((__be32 *)before, sizeof(*before), (__be32 *)after, sizeof(*after), 0);
	__be16 ports[2] = { d->udp.dest, d->udp.source };

	return bpf_skb_store_bytes(skb, d->at + sizeof(struct udphdr), after, sizeof(*after), 0) ||
	       bpf_l4_csum_replace(skb, d->at + offsetof(struct udphdr, check), 0, diff, BPF_F_MARK_MANGLED_0) ||
	       bpf_skb_store_bytes(skb, d->at, ports, sizeof(ports), 0);
}

static __always_inline __be64 time_now(void)
{
	__u32 zero = 0;
	__u64 *offset = bpf_map_lookup_elem(&probe_clock, &zero);
	__u64 o = offset ? READ_ONCE(*offset) : 0;

	return o ? bpf_cpu_to_be64(bpf_ktime_get_boot_ns() + o) : 0; // 5.8
}

// store_seen fills in what follows the probe, where there is room for it.
static __always_inline long store_seen(struct __sk_buff *skb, const struct datagram *d)
{
	const __u32 at = d->at + sizeof(struct udphdr) + sizeof(struct probe);
	struct probe_seen before, after = { .source = d->source, .time = time_now() };
	__s64 diff;

	if (d->room < sizeof(struct udphdr) + sizeof(struct probe) + sizeof(after))
		return 0;
	if (bpf_skb_load_bytes(skb, at, &before, sizeof(before)))
		return -1;
	diff = bpf_csum_diff((__be32 *)&before, sizeof(before), (__be32 *)&after, sizeof(after), 0);
	return bpf_skb_store_bytes(skb, at, &after, sizeof(after), 0) ||
	       bpf_l4_csum_replace(skb, d->at + offsetof(struct udphdr, check), 0, diff, BPF_F_MARK_MANGLED_0);
}

static __always_inline long store_v4(struct __sk_buff *skb, const struct datagram *d)
{
	__be32 addresses[2] = { d->destination.word[3], d->source.word[3] };
	__be16 old, new; // time to live and protocol
	const __u32 at = ETH_HLEN + offsetof(struct iphdr, ttl);

	if (bpf_skb_load_bytes(skb, at, &old, sizeof(old)))
		return -1;
	new = bpf_htons(HOPS << 8 | IPPROTO_UDP);
	return bpf_skb_store_bytes(skb, at, &new, sizeof(new), 0) ||
	       bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check), old, new, sizeof(new)) ||
	       bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct iphdr, saddr), addresses, sizeof(addresses), 0);
}

static __always_inline long store_v6(struct __sk_buff *skb, const struct datagram *d)
{
	struct address addresses[2] = { d->destination, d->source };
	const __u8 hops = HOPS;

	// This header has no checksum that would make up for it.
	return bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, hop_limit), &hops, sizeof(hops),
				   BPF_F_RECOMPUTE_CSUM) ||
	       bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, saddr), addresses, sizeof(addresses), 0);
}

static __always_inline long swap_macs(struct __sk_buff *skb)
{
	__u8 macs[2 * ETH_ALEN], swapped[2 * ETH_ALEN];

	if (bpf_skb_load_bytes(skb, 0, macs, sizeof(macs)))
		return -1;
	__builtin_memcpy(swapped, macs + ETH_ALEN, ETH_ALEN);
	__builtin_memcpy(swapped + ETH_ALEN, macs, ETH_ALEN);
	return bpf_skb_store_bytes(skb, 0, swapped, sizeof(swapped), 0);
}

// turn_round makes the request its own reply.
static __always_inline long turn_round(struct __sk_buff *skb, const struct datagram *d, struct probe *request)
{
	struct probe reply = *request;

	fill_in(&reply, d);
	return store_probe(skb, d, request, &reply) || store_seen(skb, d) ||
	       (address_is_v4(&d->destination) ? store_v4(skb, d) : store_v6(skb, d)) || swap_macs(skb);
}

static __always_inline void count(__u32 outcome)
{
	__u64 *n = bpf_map_lookup_elem(&probe_counters, &outcome);

	if (n)
		__sync_fetch_and_add(n, 1);
}

SEC("tc")
int answer_probe(struct __sk_buff *skb)
{
	struct datagram d = {};
	struct probe p;
	enum probe_outcome outcome;

	if (!read_datagram(skb, &d))
		return TC_ACT_UNSPEC; // whoever is next
	outcome = judge(skb, &d, &p);
	if (outcome == PROBE_ANSWERED && turn_round(skb, &d, &p))
		outcome = PROBE_FAILED; // half rewritten
	count(outcome);
	switch (outcome) {
	case PROBE_ANSWERED:
		return bpf_redirect(skb->ifindex, 0);
	case PROBE_LIMITED:
	case PROBE_FAILED:
		return TC_ACT_SHOT;
	default:
		return TC_ACT_UNSPEC;
	}
}

char _license[] SEC("license") = "Dual BSD/GPL";
