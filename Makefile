# Tombolo's tasks. `make help` lists them; each target's comment is its help.

GO      ?= go
BIN     := bin/tombolo
TOOLS   := $(GO) tool -modfile=$(CURDIR)/internal/tools/go.mod
GIT     := git -c safe.directory='$(CURDIR)'
VERSION := $(shell $(GIT) describe --tags --always --dirty 2>/dev/null || echo unknown)

# One set of flags for all that is built – programs, tools, checks, tests – so that no
# package is compiled twice: what imports package net is another thing with cgo, and
# everything is with -trimpath. The race detector wants cgo, and all of its own anyhow.
export CGO_ENABLED := 0
RACE := CGO_ENABLED=1 $(GO) test -race

# clang is pinned: another version compiles the eBPF objects to other bytes,
# and `make check` compares them.
CLANG_VERSION := 19
export PATH := $(PATH):/usr/sbin:/sbin:/usr/local/go/bin

# The Go that is needed. One from 1.21 on fetches it, as that of Debian 13 does.
GO_VERSION := $(shell sed -n 's/^go //p' go.mod)

# Root may well build in another user's clone: what it runs from there it trusts. This
# is for Go and the tests; what make itself asks of git, it asks by GIT.
export GIT_CONFIG_COUNT := 1
export GIT_CONFIG_KEY_0 := safe.directory
export GIT_CONFIG_VALUE_0 := $(CURDIR)

# Debian's packages that the tests run against or are built with.
TEST_PACKAGES := clang-$(CLANG_VERSION) llvm-$(CLANG_VERSION) libbpf-dev gcc libc6-dev \
	frr bird2 nftables iptables iproute2 ethtool iperf3 tcpdump curl git procps systemd openssl util-linux \
	qemu-system-x86

# Packages whose tests need neither root nor another component.
UNIT = . ./clustermesh ./clustermesh/clusterset ./clustermesh/global ./clustermesh/identity ./clustermesh/ipam ./clustermesh/source/... \
	./clustermesh/standing ./clustermesh/view ./agent/maglev ./agent/outlier ./bgp/advertise ./internal/reconcile ./internal/control ./internal/authority \
	./internal/kube ./api/...

.DEFAULT_GOAL := build

.PHONY: help
help: ## Lists the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort | expand -t 14

.PHONY: build
build: need-go ## Builds bin/tombolo.
	@mkdir -p bin
	$(GO) build -ldflags '-X main.version=$(VERSION)' -o $(BIN) ./cmd/tombolo

# The Kubernetes that tests and the lab run, as it says of itself.
KUBE_VERSION = $(shell sed -n 's|^\tk8s.io/kubernetes ||p' deploy/kube/go.mod)
KUBE_FLAGS = $(foreach flag,gitVersion=$(KUBE_VERSION) gitMajor=1 gitMinor=$(word 2,$(subst ., ,$(KUBE_VERSION))),-X k8s.io/component-base/version.$(flag))

.PHONY: kube
kube: need-go ## Builds bin/kube: kube-apiserver, kube-controller-manager and kubectl (8 minutes at first).
	@mkdir -p bin
	cd deploy/kube && $(GO) build -ldflags '-s -w $(KUBE_FLAGS)' -o ../../bin/kube .
	@for name in kube-apiserver kube-controller-manager kubectl; do ln -sf kube bin/$$name; done

.PHONY: demo
demo: need-root need-kernel build $(if $(KUBERNETES),kube) ## Plays the demo: two clusters, failover, routes; KUBERNETES=1: by kubectl.
	@./$(BIN) lab demo $(if $(KUBERNETES),--kubernetes)

# How many packages, or labs, are tested side by side: one more than there are cores, for
# they wait more than they work.
ABREAST = $$(($$(nproc) + 1))

# What a run starts inherits its name, by which .ci/leftovers knows it; TOMBOLO_… would be a
# setting. A make within it has the same.
TEST_RUN := $(or $(TEST_RUN),$(shell date +%s%N).$(shell echo $$PPID))
test test-matrix: export TEST_RUN := $(TEST_RUN)

.PHONY: test
test: need-root need-kernel deps need-clone build kube ## Installs what the tests need and runs all of them (root).
	@.ci/leftovers before
	@$(MAKE) --no-print-directory test-chart
	$(RACE) -count=1 -p $(ABREAST) -timeout 30m $$($(GO) list ./... | grep -Ev '/e2e(/failover)?$$' | grep -vxF "$$($(GO) list $(KUBE_TESTS))")
	$(GO) test -count=1 -run 'TestCost|TestDetection|LossBetween' ./agent/health # their biggest worlds, which -race leaves out
	@$(MAKE) --no-print-directory test-vm SHARE=1
	@# Whole labs, which want the machine for themselves. Scripts run real processes, which
	@# no detector watches: it would only slow the programs that a script starts, and asks with.
	$(GO) test -count=1 -parallel $(ABREAST) -timeout 40m -skip TestKubernetes ./e2e
	$(RACE) -count=1 -parallel $(ABREAST) -timeout 40m ./e2e/failover
	@$(MAKE) --no-print-directory test-kubernetes
	@.ci/leftovers after

# The packages whose tests have a Kubernetes control plane.
KUBE_TESTS = $(addprefix ./,$(shell $(GIT) grep -l '"tombolo.io/tombolo/internal/kubetest"' -- '*_test.go' | xargs -n1 dirname | sort -u))

.PHONY: test-kubernetes
test-kubernetes: need-root need-kernel deps need-clone build kube ## Runs the tests that have a real Kubernetes control plane; make test does too.
	$(RACE) -count=1 -timeout 40m -p 2 $(KUBE_TESTS)
	$(GO) test -count=1 -timeout 20m -run TestKubernetes ./e2e

.PHONY: test-unit
test-unit: need-unit need-clone ## Runs the tests that need neither root nor another component.
	$(RACE) $(UNIT)

.PHONY: test-chart
test-chart: need-root deps ## Renders the chart, and checks it, the image and the units (root).
	$(GO) -C deploy/helm vet ./...
	$(GO) -C deploy/helm test -count=1 ./...

# Emulation is slow: make test sets SHARE, which names what is left out.
.PHONY: test-vm
test-vm: deps ## Runs the tests of the data path in Debian's kernel 6.1, in qemu; make test runs a share of them.
	$(GO) run ./internal/vm $(if $(SHARE),-share)

# Not those of e2e/testdata/kubernetes, which make test runs once: each has a control plane
# of its own for each cluster, minutes in all, and their subject is its API. What differs by
# router or family is in the others.
.PHONY: test-matrix
test-matrix: need-root need-kernel deps build ## Runs the scenarios without Kubernetes with every router and both address families.
	@.ci/leftovers before
	@for router in builtin frr bird; do for family in ipv4 ipv6; do \
		echo "scenarios with $$router, $$family"; \
		LAB_ROUTER=$$router LAB_FAMILY=$$family $(GO) test -count=1 -parallel $(ABREAST) -timeout 20m -skip TestKubernetes ./e2e || exit 1; done; done
	@.ci/leftovers after

.PHONY: bench
bench: need-root need-kernel deps ## Measures what docs/benchmarks.md states; BENCH_JSON=FILE keeps it as JSON.
	$(GO) run ./e2e/bench

.PHONY: bench-kubernetes
bench-kubernetes: need-root need-kernel deps kube ## Measures an API server that reads a big Kubernetes; BENCH_JSON=FILE keeps it as JSON.
	$(GO) run ./e2e/bench kubernetes

.PHONY: bench-datapath
bench-datapath: need-root deps ## Measures what the program that leads packets costs; BENCH_JSON=FILE keeps it as JSON.
	$(GO) run ./e2e/bench packets forward

.PHONY: bench-failover
bench-failover: need-root need-kernel deps ## Measures how long failures last, REPEAT (10) times each, and writes docs/failover.md's figures.
	$(GO) run ./e2e/failover -docs docs/failover.md $(FAULTS)

.PHONY: soak
soak: need-root need-kernel deps ## Takes control planes, agents and packets away for OUTAGE (10m) each, 1.5 h in all; fails if anything notices.
	REPEAT=1 $(GO) run ./e2e/failover -strict -outage $(or $(OUTAGE),10m) remote_control_plane_lost api_servers_lost etcd_alone_lost etcd_lost mirror_link_lost agent_killed random_loss

# What make generate writes. A file that is new there is one that differs, too.
GENERATED = '*.pb.go' '*_bpfe[lb]*' '*/zz_generated*' deploy/crds docs/api.md deploy/kubernetes deploy/helm/testdata

# Not of deploy/kube: vet and staticcheck would go through all of Kubernetes for its
# one file. repo_test.go looks at it, as at all modules.
.PHONY: check
check: deps need-clone ## Checks format, vet, staticcheck, modules, and that generated files match their sources.
	@bad=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$bad" ] || { echo "not gofmt-ed, run gofmt -w: $$bad"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags vm ./bpf/... ./agent/... # what test-vm builds
	$(TOOLS) staticcheck ./...
	cd deploy/helm && $(TOOLS) staticcheck ./...
	$(GO) mod tidy -diff
	cd internal/tools && $(GO) mod tidy -diff
	cd deploy/kube && $(GO) mod tidy -diff
	cd deploy/helm && $(GO) mod tidy -diff
	@$(MAKE) --no-print-directory generate
	@odd=$$(git status --porcelain --untracked-files=all -- $(GENERATED) | grep -v '^. '); [ -z "$$odd" ] || { \
		echo "generated files differ from their sources: commit what make generate made"; echo "$$odd"; exit 1; }

.PHONY: generate
generate: deps ## Generates the protobuf code, the eBPF objects, the CRDs, docs/api.md and what the chart renders.
	$(GO) generate ./...
	UPDATE=1 $(GO) -C deploy/helm test -count=1 -run 'Golden|Static' .

.PHONY: deps
deps: need-go ## Installs Debian's packages that the tests need (root), or names them.
	@missing=$$(for p in $(TEST_PACKAGES); do \
		dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	[ -z "$$missing" ] && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing" $$missing; apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else echo "missing:" $$missing; echo "as root: apt-get install" $$missing; exit 1; fi

.PHONY: clean
clean: ## Removes what was built.
	rm -rf bin

.PHONY: need-go
need-go:
	@command -v $(GO) >/dev/null || echo "there is no $(GO) in PATH"
	@$(GO) list -m >/dev/null || { \
		echo "this needs Go $(GO_VERSION) or newer, or one from 1.21 that may fetch it (GOTOOLCHAIN=auto); to install it, as root:"; \
		echo "  apt-get install -y curl ca-certificates && rm -rf /usr/local/go &&"; \
		echo "  curl -fL https://go.dev/dl/go$(GO_VERSION).linux-$$(dpkg --print-architecture 2>/dev/null || echo amd64).tar.gz | tar -C /usr/local -xz"; \
		echo "then: PATH=/usr/local/go/bin:\$$PATH make $(MAKECMDGOALS)"; exit 1; }

.PHONY: need-root
need-root:
	@[ "$$(id -u)" = 0 ] || { echo "this needs root (network namespaces, eBPF): sudo make $(MAKECMDGOALS)"; exit 1; }

.PHONY: need-kernel
need-kernel:
	@printf '6.1\n%s\n' "$$(uname -r)" | sort -VC || { \
		echo "this needs Linux 6.1 or newer, and here is $$(uname -r): install a newer kernel, on Debian 11 by upgrading to 12"; exit 1; }

# The race detector is C, and tests ask git which files are the repository's.
.PHONY: need-unit
need-unit: need-go
	@command -v gcc >/dev/null && command -v git >/dev/null || { \
		echo "this needs gcc and git; as root: apt-get install gcc libc6-dev git"; exit 1; }

.PHONY: need-clone
need-clone:
	@git rev-parse --git-dir >/dev/null || { echo "this needs a clone, and $(CURDIR) is none: git clone the repository"; exit 1; }
