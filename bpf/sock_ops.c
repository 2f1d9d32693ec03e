//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// What becomes of the connections that connect() led to a backend: the kernel
// tells of a SYN that it sends again, and of a socket's way through the states of
// TCP. It tells so only of sockets that asked for it.
//
// This hook, and not the tracepoint sock/inet_sock_set_state: it sees the cgroup's
// sockets alone, needs no more privilege than the hooks beside it, knows the
// socket (the tracepoint has its addresses), and hears of silence after a second;
// the state changes when the kernel gives up, after two minutes.
#include "include/opening.h"
#include "include/socket.h"

#define WANTED (BPF_SOCK_OPS_RTO_CB_FLAG | BPF_SOCK_OPS_STATE_CB_FLAG)

static __always_inline bool goes_to(struct bpf_sock_ops *ctx, const struct backend *b)
{
	// All are loaded, in each case: of two loads of which one is needed clang
	// makes one from either place, which the verifier refuses.
	struct address v4 = address_v4(READ_ONCE(ctx->remote_ip4));
	struct address remote = { {
		READ_ONCE(ctx->remote_ip6[0]), READ_ONCE(ctx->remote_ip6[1]),
		READ_ONCE(ctx->remote_ip6[2]), READ_ONCE(ctx->remote_ip6[3]),
	} };

	if (ctx->family == AF_INET)
		remote = v4;
	// remote_port is in network order in the upper half of a word of that order.
	return address_equal(&remote, &b->address) && bpf_ntohl(ctx->remote_port) == bpf_ntohs(b->port);
}

// begins is called before the first SYN. The opening may be that of an earlier
// connect() of the socket, which connect() leaves as it is where the service of now
// wants to know nothing; a program of another may have led the socket elsewhere
// after us; and what others asked to be told of stays asked for.
static __always_inline void begins(struct bpf_sock_ops *ctx, struct bpf_sock *sk, struct opening *o)
{
	__u64 head;
	struct backend *b = reference_backend(o->reference, &head);

	if (b && goes_to(ctx, b) && socket_refers(bpf_get_socket_cookie(ctx), sk, o->reference))
		bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | WANTED);
	else
		o->reference = 0;
}

// opens is called when the first part ends. Where no segment came in, it was the
// client itself who ended it, or an ICMP error: that is not counted.
static __always_inline void opens(struct bpf_sock_ops *ctx, struct opening *o, __u32 now)
{
	if (now == BPF_TCP_ESTABLISHED) {
		opening_succeeds(o, false);
		return;
	}
	if (!o->failed && ctx->segs_in)
		opening_fails(o, FAILURE_REFUSED);
	o->reference = 0;
}

// ends is called when an open connection begins to end. One that goes straight to
// CLOSE was reset; segments that came in are the answer to the SYN and the reset.
static __always_inline void ends(struct bpf_sock_ops *ctx, struct opening *o, __u32 now)
{
	if (now == BPF_TCP_CLOSE && !ctx->bytes_received && ctx->segs_in > 1)
		opening_fails(o, FAILURE_RESET);
	else
		opening_succeeds(o, true);
	o->reference = 0;
}

SEC("sockops")
int opening(struct bpf_sock_ops *ctx)
{
	__u32 op = ctx->op;
	struct bpf_sock *sk = ctx->sk;
	struct opening *o;

	if (op != BPF_SOCK_OPS_TCP_CONNECT_CB && op != BPF_SOCK_OPS_RTO_CB && op != BPF_SOCK_OPS_STATE_CB)
		return 1;
	o = sk ? bpf_sk_storage_get(&openings, sk, NULL, 0) : NULL;
	if (!o || !o->reference)
		return 1;
	if (op == BPF_SOCK_OPS_TCP_CONNECT_CB) {
		begins(ctx, sk, o);
	} else if (op == BPF_SOCK_OPS_RTO_CB) {
		if (ctx->state == BPF_TCP_SYN_SENT && !o->failed) {
			o->failed = 1;
			opening_fails(o, FAILURE_SILENT);
		}
	} else if (ctx->args[0] == BPF_TCP_SYN_SENT) {
		opens(ctx, o, ctx->args[1]);
	} else if (ctx->args[0] == BPF_TCP_ESTABLISHED) {
		ends(ctx, o, ctx->args[1]);
	}
	return 1; // others' replies stay what they are
}

char _license[] SEC("license") = "Dual BSD/GPL";
