// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Addresses of both families in one shape.
#pragma once

#include "kernel.h"

// An IPv6 address in network order, or an IPv4 address as ::ffff:a.b.c.d.
struct address {
	__be32 word[4];
};

static __always_inline struct address address_v4(__be32 ip)
{
	return (struct address){ { 0, 0, bpf_htonl(0xffff), ip } };
}

static __always_inline bool address_is_v4(const struct address *a)
{
	return !(a->word[0] | a->word[1]) && a->word[2] == bpf_htonl(0xffff);
}

static __always_inline bool address_equal(const struct address *a, const struct address *b)
{
	return !((a->word[0] ^ b->word[0]) | (a->word[1] ^ b->word[1]) |
		 (a->word[2] ^ b->word[2]) | (a->word[3] ^ b->word[3]));
}

// The address of a socket hook's context. The hooks of AF_INET6 sockets also
// see IPv4, as ::ffff:a.b.c.d; the shape is then the same as here.
static __always_inline struct address address_load4(struct bpf_sock_addr *ctx)
{
	return address_v4(ctx->user_ip4);
}

static __always_inline struct address address_load6(struct bpf_sock_addr *ctx)
{
	return (struct address){ {
		ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3],
	} };
}

static __always_inline void address_store4(struct bpf_sock_addr *ctx, const struct address *a, __be16 port)
{
	ctx->user_ip4 = a->word[3];
	ctx->user_port = port;
}

static __always_inline void address_store6(struct bpf_sock_addr *ctx, const struct address *a, __be16 port)
{
	ctx->user_ip6[0] = a->word[0];
	ctx->user_ip6[1] = a->word[1];
	ctx->user_ip6[2] = a->word[2];
	ctx->user_ip6[3] = a->word[3];
	ctx->user_port = port;
}
