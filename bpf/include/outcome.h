// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// What becomes of packets to the addresses of services, and of the answers.
#pragma once

#include "kernel.h"

enum packet_outcome {
	PACKET_PASSED,    // none of ours; not counted
	PACKET_FORWARDED, // to a backend elsewhere
	PACKET_TUNNELLED, // to a backend's node as it came
	PACKET_DELIVERED, // to a backend on this node
	PACKET_ANSWERED,  // from a backend elsewhere to its client
	PACKET_RETURNED,  // from a backend on this node to its client
	PACKET_PINGED,    // an echo request, answered
	PACKET_REFUSED,   // TCP to a port without a backend: reset
	PACKET_RESET,     // TCP of a flow that is not known here, or has lost its backend: reset

	// Dropped from here on.
	PACKET_NO_PORT,      // to an address of a service, at a port that no service has
	PACKET_NO_BACKEND,   // to a port without a backend
	PACKET_OUT_OF_RANGE, // from where nobody may come to the service
	PACKET_NOT_HERE,     // to a port that has backends on other nodes alone, and keeps to this one
	PACKET_UNKNOWN,      // of a flow that is not known here, and nothing to reset
	PACKET_MALFORMED,    // headers that contradict themselves, or that nobody reads
	PACKET_FRAGMENT,     // a fragment whose first was not seen
	PACKET_HOPS,         // its time to live ends here
	PACKET_TOO_BIG,      // for the way to where it goes
	PACKET_NO_ROUTE,     // no way to where it goes
	PACKET_NO_SOURCE,    // this node has no address of its family
	PACKET_EXHAUSTED,    // all ports that were tried are in use
	PACKET_FULL,         // no memory to remember the flow
	PACKET_FAILED,       // the kernel could not rewrite it
	PACKET_OUTCOMES,
};

// Beside what becomes of a packet.
enum packet_event {
	EVENT_BEGUN = PACKET_OUTCOMES, // a flow began
	EVENT_MOVED,                   // a flow that had lost its backend was given another
	EVENT_ERROR,                   // an ICMP error was translated
	EVENT_WIRE,                    // from_wire led it
	EVENTS,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EVENTS);
	__type(key, __u32);
	__type(value, __u64);
} packet_counters SEC(".maps");

static __always_inline void packet_count(__u32 which)
{
	__u64 *n = bpf_map_lookup_elem(&packet_counters, &which);

	if (n)
		*n += 1; // nobody else on the CPU counts meanwhile: programs run with bottom halves off
}
