//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// A program that runs for long, and shows in a map where it is.
#include "include/kernel.h"

#define BEGUN 1
#define ENDED 2

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} progress SEC(".maps");

static long turn(__u32 i, void *ctx)
{
	return bpf_ktime_get_ns() == 0;
}

SEC("socket")
int spin(struct __sk_buff *skb)
{
	__u32 zero = 0;
	__u64 *at = bpf_map_lookup_elem(&progress, &zero);

	if (!at)
		return 0;
	WRITE_ONCE(*at, BEGUN);
	bpf_loop(1 << 21, turn, NULL, 0); // Linux 5.17
	WRITE_ONCE(*at, ENDED);
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
