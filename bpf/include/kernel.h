// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// What every program needs of the kernel: the uapi headers and libbpf's. Of the
// kernel's structures one program reads four fields (sock_spill.c), so that there is no
// vmlinux.h.
#pragma once

#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

// From errno.h, which drags the C library in.
#define ERR_PERM 1
#define ERR_NOMEM 12
#define ERR_EXIST 17
#define ERR_REFUSED 111

// From socket.h, likewise.
#define AF_INET 2
#define AF_INET6 10

// READ_ONCE and WRITE_ONCE make one load or store of the full width. What user
// space writes through a mapping is read in no other way.
#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))

// barrier keeps the compiler from moving what is read or written over it.
#define barrier() asm volatile("" ::: "memory")

// Enums reach Go only when something has their type.
#define EMIT(name) enum name *emit_##name __attribute__((unused))

// Of a function in a header that not every program calls.
#define __unused __attribute__((unused))
