package bpf

// The maps and the Go types of the C structs come from maps.c. Every family of
// programs is an object of its own, whose maps the loader replaces by those. The
// responder to probes shares none of them.
//
// clang is pinned to version 19: another compiles to other bytes. -idirafter finds
// asm/types.h where Debian keeps it.
//go:generate go tool -modfile=../internal/tools/go.mod bpf2go -go-package bpf -target bpfel -cc clang-19 -strip llvm-strip-19 -type affinity_client -type backend_kind -type backend_state -type counter -type failure -type failure_cause -type health_bits -type scope -type service_flags -type spilled_socket maps maps.c -- -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu -O2 -g -Wall -Werror -mcpu=v3
//go:generate go tool -modfile=../internal/tools/go.mod bpf2go -go-package bpf -target bpfel -cc clang-19 -strip llvm-strip-19 -no-global-types connect sock_connect.c -- -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu -O2 -g -Wall -Werror -mcpu=v3
//go:generate go tool -modfile=../internal/tools/go.mod bpf2go -go-package bpf -target bpfel -cc clang-19 -strip llvm-strip-19 -no-global-types sockops sock_ops.c -- -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu -O2 -g -Wall -Werror -mcpu=v3
//go:generate go tool -modfile=../internal/tools/go.mod bpf2go -go-package bpf -target bpfel -cc clang-19 -strip llvm-strip-19 -no-global-types release sock_release.c -- -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu -O2 -g -Wall -Werror -mcpu=v3
//go:generate go tool -modfile=../internal/tools/go.mod bpf2go -go-package bpf -target bpfel -cc clang-19 -strip llvm-strip-19 -no-global-types spill sock_spill.c -- -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu -O2 -g -Wall -Werror -mcpu=v3
//go:generate go tool -modfile=../internal/tools/go.mod bpf2go -go-package bpf -target bpfel -cc clang-19 -strip llvm-strip-19 -no-global-types sendmsg sock_sendmsg.c -- -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu -O2 -g -Wall -Werror -mcpu=v3
//go:generate go tool -modfile=../internal/tools/go.mod bpf2go -go-package bpf -target bpfel -cc clang-19 -strip llvm-strip-19 -no-global-types recvmsg sock_recvmsg.c -- -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu -O2 -g -Wall -Werror -mcpu=v3
//go:generate go tool -modfile=../internal/tools/go.mod bpf2go -go-package bpf -target bpfel -cc clang-19 -strip llvm-strip-19 -no-global-types getpeername sock_getpeername.c -- -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu -O2 -g -Wall -Werror -mcpu=v3
//go:generate go tool -modfile=../internal/tools/go.mod bpf2go -go-package bpf -target bpfel -cc clang-19 -strip llvm-strip-19 -no-global-types -type probe -type probe_asker -type probe_kind -type probe_outcome -type probe_seen -type probe_target -type probe_type responder probe.c -- -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu -O2 -g -Wall -Werror -mcpu=v3
//go:generate go tool -modfile=../internal/tools/go.mod bpf2go -go-package bpf -target bpfel -cc clang-19 -strip llvm-strip-19 -type direct_flags -type flow_flags -type owned_flags -type packet_event -type packet_outcome -type tunnel_open packet packet.c -- -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu -O2 -g -Wall -Werror -mcpu=v3
//go:generate go tool -modfile=../internal/tools/go.mod bpf2go -go-package bpf -target bpfel -cc clang-19 -strip llvm-strip-19 -type plan replay replay.c -- -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu -O2 -g -Wall -Werror -mcpu=v3
