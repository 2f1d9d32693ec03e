// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// References to backends that outlive a program's run: number and generation,
// compared on every use.
#pragma once

#include "backend.h"

// number | generation << 32; 0 is none.
static __always_inline __u64 reference_to(__u32 number, __u64 head)
{
	return number | (__u64)head_generation(head) << 32;
}

// reference_backend returns the backend, or NULL when it is another one now.
static __always_inline struct backend *reference_backend(__u64 reference, __u64 *head)
{
	__u32 number = (__u32)reference;
	struct backend *b = bpf_map_lookup_elem(&backends, &number);

	if (!b || !number)
		return NULL;
	*head = READ_ONCE(b->head);
	return head_generation(*head) == reference >> 32 ? b : NULL;
}
