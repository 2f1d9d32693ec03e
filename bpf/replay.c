//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Programs that give the next one a packet as it came: the kernel runs a program many
// times on one packet, and does not undo what that did. Each time it is of another flow,
// of as many as are asked for.
#include "include/kernel.h"

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>

#define HEAD_V4 (ETH_HLEN + sizeof(struct iphdr) + sizeof(struct tcphdr))
#define HEAD_V6 (ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(struct tcphdr))

const volatile bool v4 = true; // set by the loader

struct plan {
	__u64 next;  // the number of the next flow
	__u64 first; // of the first one
	__u64 flows; // how many there are
	__u64 size;  // of the packet
	__u8 head[HEAD_V6]; // the headers of the first one
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct plan);
} plans SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} measured SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} measured_wire SEC(".maps");

// Flows differ in two parts of the address, below 512 and from there on. What is added
// there is taken off elsewhere, so that every checksum stays right. Nothing overflows
// for less than 20 million flows.
#define LOW_BITS 9

static __always_inline void add(__u8 *packet, __u32 at, __s32 n)
{
	__be16 *field = (__be16 *)(packet + at);

	*field = bpf_htons(bpf_ntohs(*field) + n);
}

// put_back makes a packet the plan's next. The size is a constant, so that this is a few
// stores.
static __always_inline bool put_back(__u8 *packet, __u8 *end, struct plan *p, __u32 size)
{
	__u32 flow = p->first + p->next, low, high;

	if (packet + size > end)
		return false;
	p->next = p->next + 1 < p->flows ? p->next + 1 : 0;
	low = flow & ((1 << LOW_BITS) - 1);
	high = flow >> LOW_BITS;
	__builtin_memcpy(packet, p->head, size);
	if (size == HEAD_V4) {
		add(packet, ETH_HLEN + offsetof(struct iphdr, saddr), high);
		add(packet, ETH_HLEN + offsetof(struct iphdr, saddr) + 2, low);
		add(packet, ETH_HLEN + offsetof(struct iphdr, id), -(__s32)(low + high));
	} else {
		add(packet, ETH_HLEN + offsetof(struct ipv6hdr, saddr) + 12, high);
		add(packet, ETH_HLEN + offsetof(struct ipv6hdr, saddr) + 14, low);
	}
	add(packet, size - sizeof(struct tcphdr), -(__s32)(low + high));
	return true;
}

static __always_inline bool put_back_either(__u32 data, __u32 end, struct plan *p)
{
	__u8 *packet = (void *)(long)data;

	return v4 ? put_back(packet, (void *)(long)end, p, HEAD_V4) : put_back(packet, (void *)(long)end, p, HEAD_V6);
}

static __always_inline struct plan *the_plan(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&plans, &zero);
}

SEC("tc")
int restore(struct __sk_buff *skb)
{
	struct plan *p = the_plan();

	// What a tunnel put before it goes.
	if (p && skb->len > p->size && bpf_skb_adjust_room(skb, (__s32)p->size - (__s32)skb->len, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO))
		return TC_ACT_SHOT;
	if (p && put_back_either(skb->data, skb->data_end, p))
		bpf_tail_call(skb, &measured, 0);
	return TC_ACT_SHOT;
}

SEC("tc")
int empty(struct __sk_buff *skb)
{
	return TC_ACT_OK;
}

SEC("xdp")
int restore_wire(struct xdp_md *ctx)
{
	struct plan *p = the_plan();
	__s32 grown = p ? (__s32)(ctx->data_end - ctx->data) - (__s32)p->size : 0;

	if (p && grown > 0 && bpf_xdp_adjust_head(ctx, grown))
		return XDP_ABORTED;
	if (p && put_back_either(ctx->data, ctx->data_end, p))
		bpf_tail_call(ctx, &measured_wire, 0);
	return XDP_ABORTED;
}

SEC("xdp")
int empty_wire(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
