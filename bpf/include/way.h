// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Ways: where the kernel sends packets. A flow remembers its own by number for a moment,
// so that not every packet asks for it. A way does not change while a flow may have its
// number; when most numbers are given, user space gives them out anew (Packets.RenewWays).
#pragma once

#include "conntrack.h"
#include "packet.h"

// Flows that are remembered hold numbers over upgrades: whoever changes this must not read
// the old ones, as by another field of theirs.
#define WAYS 4096

struct way {
	struct address next;
	__u32 family; // of next: an IPv4 route may have a next hop of IPv6
	__u32 device;
	__u32 mtu;
	struct stations stations;
};

// What has a number.
struct numbered_way {
	struct way way;
	__u64 used; // when the kernel last sent a packet this way
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WAYS);
	__type(key, __u32);
	__type(value, struct numbered_way);
} ways SEC(".maps");

// By the way itself. While no number is to be had the packets of new ways ask each time.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WAYS);
	__type(key, struct way);
	__type(value, __u32);
} way_numbers SEC(".maps");

// How many numbers were given; 0 is none.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} ways_given SEC(".maps");

// What a flow remembers: the number, and when the kernel was asked, in ticks of 67 ms that
// begin anew after 19 hours.
#define TICK_SHIFT 26
#define TICK_BITS 20

// It is noted so often that a way is used by the kernel.
#define WAY_USED (SECOND / 2)

static __always_inline __u32 way_tick(__u64 now)
{
	return now >> TICK_SHIFT & ((1 << TICK_BITS) - 1);
}

// way_number returns the number in what a flow remembers.
static __always_inline __u32 way_number(__u32 remembered)
{
	return remembered >> TICK_BITS;
}

// way_holds says whether a flow's way was asked for in this tick or the one before.
static __always_inline bool way_holds(__u32 remembered, __u64 now)
{
	return way_number(remembered) && ((way_tick(now) - remembered) & ((1 << TICK_BITS) - 1)) <= 1;
}

// way_remembered returns the way that a flow remembers; NULL when the kernel is to be asked.
static __always_inline struct numbered_way *way_remembered(const struct packet *p)
{
	__u32 number = way_number(p->way_known);

	return way_holds(p->way_known, p->now) ? bpf_map_lookup_elem(&ways, &number) : NULL;
}

// way_uses takes note that the kernel sends a packet by a way.
static __always_inline void way_uses(struct numbered_way *n, __u64 now)
{
	if (now - READ_ONCE(n->used) > WAY_USED)
		WRITE_ONCE(n->used, now);
}

// way_recall fills in where a packet goes out by what its flow remembers; false when the
// kernel is to be asked. The length is that of route_find.
static __always_inline bool way_recall(struct __sk_buff *skb, struct packet *p, __u32 length)
{
	struct numbered_way *n = way_remembered(p);
	struct way *w = n ? &n->way : NULL;

	if (!w || !w->mtu || (length ? length > w->mtu : !skb->gso_size && skb->len > w->mtu + ETH_HLEN))
		return false;
	p->out = w->device;
	p->next.nh_family = w->family;
	__builtin_memcpy(p->next.ipv6_nh, &w->next, sizeof(p->next.ipv6_nh));
	way_uses(n, p->now);
	return true;
}

// way_give gives a way the next number, 0 when there is none left.
static __always_inline __u32 way_give(const struct way *w)
{
	struct numbered_way n = { .way = *w };
	__u32 zero = 0, number, *given = bpf_map_lookup_elem(&ways_given, &zero), *other;

	if (!given || READ_ONCE(*given) >= WAYS - 1)
		return 0;
	number = __sync_fetch_and_add(given, 1) + 1; // Linux 5.12
	if (number >= WAYS || bpf_map_update_elem(&ways, &number, &n, BPF_ANY))
		return 0;
	if (!bpf_map_update_elem(&way_numbers, w, &number, BPF_NOEXIST))
		return number;
	other = bpf_map_lookup_elem(&way_numbers, w); // another CPU was faster
	return other ? *other : 0;
}

// way_note returns what a flow is to remember of the way that was found, 0 for nothing.
static __noinline __u32 way_note(struct packet *p)
{
	struct way w = { .family = p->next.nh_family, .device = p->out, .mtu = p->mtu, .stations = p->stations };
	__u32 *known, number;

	__builtin_memcpy(&w.next, p->next.ipv6_nh, sizeof(w.next));
	if (!w.mtu)
		return 0;
	known = bpf_map_lookup_elem(&way_numbers, &w);
	number = known ? *known : way_give(&w);
	return number ? number << TICK_BITS | way_tick(p->now) : 0;
}

// way_noted is way_note for a packet that the kernel sends.
static __noinline __unused __u32 way_noted(struct packet *p)
{
	__u32 note = way_note(p), number = way_number(note);
	struct numbered_way *n = bpf_map_lookup_elem(&ways, &number);

	if (note && n)
		way_uses(n, p->now);
	return note;
}
