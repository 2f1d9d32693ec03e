// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Probes: how they look on the wire, and what the node knows to answer them.
#pragma once

#include "address.h"

#define PROBE_MAGIC 0x746d626fU // "tmbo"
#define PROBE_VERSION 1

enum probe_type {
	PROBE_REQUEST = 1,
	PROBE_REPLY = 2,
};

// What kind of address is asked. A node answers for an address only as what it
// is there.
enum probe_kind {
	PROBE_NODE = 1, // an address of the node itself
	PROBE_PODS = 2, // an address of the prefixes of its pods
};

// The payload of a UDP datagram, request and reply alike, in network order. A
// struct probe_seen may follow; what is behind it comes back as it is.
struct probe {
	__be32 magic;
	__u8 version;
	__u8 type;
	__u8 kind;
	__u8 reserved; // 0
	__be64 nonce;  // the asker's, repeated

	// Padding of zeros in a request; what answers fills it in.
	struct address target; // the address that was asked
	__u8 boot_id[16];      // in a request: the node's, from an asker that may not ask else
	__be64 epoch;
};

// What follows a probe that has the room, zeros in a request: what only the one
// who answers can tell of the way and of itself.
struct probe_seen {
	struct address source; // from which the request came
	__be64 time;           // of the node's clock, in nanoseconds since 1970; 0 if not known
};

// Who may ask, by address. An asker's bucket is kept as the time at which it
// will be full again (GCRA). The kernel gives the memory of a removed entry to
// another asker at once; the worst is a probe that is charged to the other.
struct probe_asker {
	struct bpf_spin_lock lock;
	__u32 pad;
	__u64 full; // bpf_ktime_get_ns()
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 15);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct address);
	__type(value, struct probe_asker);
} probes SEC(".maps");

// The bucket that those share who name the node's boot id instead. The mesh knows
// it, from the node's object or an earlier reply, and nobody else who is not there.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct probe_asker);
} probe_guests SEC(".maps");

struct probe_target {
	__u32 prefix; // bits, of 128
	struct address address;
};

// Which addresses are the node's, and as what: an enum probe_kind.
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1 << 10);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct probe_target);
	__type(value, __u32);
} probe_targets SEC(".maps");

// The endpoint epoch: it moves when what runs on the node does.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} probe_epoch SEC(".maps");

// What to add to the time since boot to have that since 1970, in nanoseconds; 0
// while it is not known.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} probe_clock SEC(".maps");

// What became of the datagrams to the port of probes. Those that are not
// answered go their way, but for the two that are dropped.
enum probe_outcome {
	PROBE_ANSWERED,
	PROBE_MALFORMED, // no probe, another version, or not a request
	PROBE_ODD,       // in options, fragments, a VLAN, segments, for another machine
	PROBE_STRANGER,  // from an address that may not ask
	PROBE_ELSEWHERE, // to an address that is not the node's, or not as that kind
	PROBE_LIMITED,   // too many of this asker; dropped
	PROBE_FAILED,    // the kernel could not rewrite the packet; dropped
	PROBE_OUTCOMES,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, PROBE_OUTCOMES);
	__type(key, __u32);
	__type(value, __u64);
} probe_counters SEC(".maps");
