// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Openings: how connections to backends begin, of those services that want to
// know. Runs of failures are counted with the backend, and told to user space.
#pragma once

#include <linux/in.h>

#include "counter.h"
#include "reference.h"
#include "service.h"

// Of a TCP socket that connect() led to a backend.
struct opening {
	__u64 reference; // 0 when there is nothing more to learn
	__u64 failed;    // it was counted as a failure already
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct opening);
} openings SEC(".maps");

enum failure_cause {
	FAILURE_REFUSED, // the answer to the SYN was a reset
	FAILURE_SILENT,  // no answer when the first SYN was sent again (after 1 s)
	FAILURE_RESET,   // it opened, and was reset before a byte came
	FAILURE_CAUSES,
};

// A failure names the backend by what it is: its number may be another's when
// this is read.
struct failure {
	struct address address;
	__u32 service;
	__u32 run; // in a row: of resets, or of the other two
	__u32 cause;
	__u16 cluster;
	__be16 port;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF); // Linux 5.8
	__uint(max_entries, 1 << 16);       // bytes: some 1,400 failures
} failures SEC(".maps");

// Of a long run only some failures are told, for a backend that is not left out
// in spite of them can fail ten thousand times a second.
#define RUN_TOLD 64
#define RUN_THEN 16

static __always_inline void opening_tell(const struct backend *b, __u64 head, __u32 cause, __u32 run)
{
	struct failure *f;

	if (run > RUN_TOLD && run % RUN_THEN)
		return;
	f = bpf_ringbuf_reserve(&failures, sizeof(*f), 0);
	if (!f) {
		count(COUNTER_FAILURES_LOST);
		return;
	}
	*f = (struct failure){
		.address = b->address,
		.service = b->service,
		.run = run,
		.cause = cause,
		.cluster = head_cluster(head),
		.port = b->port,
	};
	bpf_ringbuf_submit(f, 0);
}

static __always_inline void opening_fails(struct opening *o, enum failure_cause cause)
{
	__u64 head;
	struct backend *b = reference_backend(o->reference, &head);

	if (!b)
		return;
	count(COUNTER_FAILED_REFUSED + cause);

	__u32 *run = cause == FAILURE_RESET ? &b->resets : &b->failures;

	opening_tell(b, head, cause, __sync_fetch_and_add(run, 1) + 1); // Linux 5.12
}

// opening_succeeds ends a run.
static __always_inline void opening_succeeds(struct opening *o, bool answered)
{
	__u64 head;
	struct backend *b = reference_backend(o->reference, &head);

	if (!b)
		return;

	__u32 *run = answered ? &b->resets : &b->failures;

	if (READ_ONCE(*run))
		WRITE_ONCE(*run, 0);
}

// opening_watch is called by connect() for a socket that is led to a backend.
// Without memory the socket is not watched, which harms nobody.
static __always_inline void opening_watch(struct bpf_sock_addr *ctx, __u32 service, __u64 reference)
{
	struct service *s = bpf_map_lookup_elem(&services, &service);
	struct opening *o;

	if (!ctx->sk || !s || ctx->protocol != IPPROTO_TCP || !(READ_ONCE(s->settings) & SERVICE_OUTLIERS))
		return;
	o = bpf_sk_storage_get(&openings, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (o)
		*o = (struct opening){ .reference = reference };
}
