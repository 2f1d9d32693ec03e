// Command bench measures what docs/benchmarks.md states: it prints a line a
// figure, `name value unit goal ok|short`, and writes the same as JSON to the
// file that BENCH_JSON names. Arguments choose among the benchmarks by name;
// without any, all run but kubernetes, packets and forward. It needs root, nftables and iptables.
//
// Figures of ours stand beside those of a peer that was measured in the same
// run, because machines differ from hour to hour. A figure that falls short is
// reported, not an error.
package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"tombolo.io/tombolo/e2e/figure"
)

var benchmarks = []struct {
	name string
	run  func(*Report) error
}{
	{"maps", benchMaps},
	{"flip", benchFlip},
	{"mirror", benchMirror},
	{"change", benchChange},
	{"ipam", benchIPAM},
	{"endpoint", benchEndpoint},
	{"connect", benchConnect},
}

// Those that run when they are named: one wants a kube-apiserver, the others say much.
var named = []struct {
	name string
	run  func(*Report) error
}{
	{"kubernetes", benchKubernetes},
	{"packets", benchPackets},
	{"forward", benchForward},
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(names []string) error {
	if os.Getuid() != 0 {
		return fmt.Errorf("network namespaces and eBPF need root")
	}
	r := figure.New(os.Stdout)
	return errors.Join(runAll(r, names), r.Write()) // what was measured is kept whatever became of the rest
}

func runAll(r *figure.Report, names []string) error {
	for _, b := range named {
		if !slices.Contains(names, b.name) {
			continue
		}
		if err := b.run(r); err != nil {
			return fmt.Errorf("measuring %s: %w", b.name, err)
		}
	}
	for _, b := range benchmarks {
		if len(names) > 0 && !slices.Contains(names, b.name) {
			continue
		}
		if err := b.run(r); err != nil {
			return fmt.Errorf("measuring %s: %w", b.name, err)
		}
	}
	return nil
}
