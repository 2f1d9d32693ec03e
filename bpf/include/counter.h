// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// What the programs count, for status and metrics.
#pragma once

#include "kernel.h"

enum counter {
	COUNTER_SELECTED,      // a backend was selected from a table
	COUNTER_AFFINITY,      // session affinity gave the backend
	COUNTER_STICKY,        // an unconnected UDP socket kept its backend
	COUNTER_REHASHED,      // the first choice was down, another one served
	COUNTER_BACKUP,        // the primary table had none, the backup table served
	COUNTER_PANIC,         // all that were tried were down: the first choice, anyway
	COUNTER_REFUSED,       // a frontend without a backend, or that keeps the client out
	COUNTER_STALE,         // a slot led to a backend of another service; not used
	COUNTER_OTHER_KEY,     // a frontend entry that held another key; looked up once more
	COUNTER_SPILLED,       // no room in the map of sockets: kept in the socket
	COUNTER_UNNOTED,       // not even there: connected, and noted nowhere
	COUNTER_OUT_OF_MEMORY, // no memory to keep the flow of a datagram; refused
	COUNTER_FAILED_REFUSED, // connections to backends that failed, by failure_cause
	COUNTER_FAILED_SILENT,
	COUNTER_FAILED_RESET,
	COUNTER_FAILURES_LOST, // failures that user space was not told of: it is slow, or dead
	COUNTER_COUNT,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTER_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline void count(__u32 which)
{
	__u64 *n = bpf_map_lookup_elem(&counters, &which);

	// Atomic although per CPU: programs are preempted on a preemptible kernel.
	if (n)
		__sync_fetch_and_add(n, 1);
}
