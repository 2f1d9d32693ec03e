//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// No program: the maps and the types that Go sees.
#include "include/affinity.h"
#include "include/counter.h"
#include "include/datagram.h"
#include "include/frontend.h"
#include "include/health.h"
#include "include/opening.h"
#include "include/range.h"
#include "include/service.h"
#include "include/slot.h"
#include "include/socket.h"

EMIT(affinity_client);
EMIT(backend_kind);
EMIT(backend_state);
EMIT(counter);
EMIT(failure_cause);
EMIT(health_bits);
EMIT(scope);
EMIT(service_flags);
struct failure *emit_failure __attribute__((unused));
struct spilled_socket *emit_spilled_socket __attribute__((unused));
