// Command failover measures what docs/failover.md states: how long after a fault
// new connections still fail, and how long until the long ones whose backend is
// gone are told. Every trial has a lab of its own, two clusters of two nodes, and
// the load of one pod: 500 new connections a second and 100 long ones.
//
// It prints a line a figure, `name value unit goal ok|short`, and the same as JSON
// to the file that BENCH_JSON names; -docs FILE puts them into that page between
// its marks. Arguments choose among the faults by name. REPEAT is the number of
// trials of each, -strict makes a figure that is short an error. It needs root and
// nftables.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tombolo.io/tombolo/deploy/lab"
	"tombolo.io/tombolo/e2e/figure"
	"tombolo.io/tombolo/internal/program"
)

func main() {
	docs := flag.String("docs", "", "page to write the figures into")
	b := bench{rate: rate}
	flag.StringVar(&b.family, "family", "ipv4", "what clients use, ipv4 or ipv6")
	flag.DurationVar(&b.outage, "outage", time.Minute, "how long control planes and agents are away, and packets are lost")
	flag.BoolVar(&b.strict, "strict", false, "fail when a figure is short of its goal")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := b.main(ctx, *docs, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(1)
	}
}

func (b bench) main(ctx context.Context, docs string, names []string) (err error) {
	repeat, chosen, err := wanted(names)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tombolo-failover-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := b.prepare(ctx, dir); err != nil {
		return err
	}
	fmt.Println(b.estimate(chosen, repeat))
	r := figure.New(os.Stdout)
	for _, f := range chosen {
		if err := b.measure(ctx, r, f, repeat); err != nil {
			return err
		}
	}
	if docs != "" {
		if err := writePage(docs, r.Figures()); err != nil {
			return err
		}
	}
	if err := r.Write(); err != nil || !b.strict {
		return err
	}
	return short(r.Figures())
}

// prepare builds what the labs run, and names them.
func (b *bench) prepare(ctx context.Context, dir string) error {
	b.base, b.binary, b.name = lab.DefaultBase, filepath.Join(dir, "tombolo"), fmt.Sprintf("fo%d", os.Getpid())
	return program.Build(ctx, b.binary)
}

// wanted reads what to do from the arguments and REPEAT.
func wanted(names []string) (repeat int, chosen []fault, err error) {
	if os.Getuid() != 0 {
		return 0, nil, errors.New("network namespaces and eBPF need root")
	}
	repeat = 10
	if s := os.Getenv("REPEAT"); s != "" {
		if repeat, err = strconv.Atoi(s); err != nil || repeat < 1 {
			return 0, nil, fmt.Errorf("REPEAT is %q: want a number of trials", s)
		}
	}
	var all []string
	for _, f := range faults {
		all = append(all, f.name)
		if len(names) == 0 && !f.scenario || slices.Contains(names, f.name) {
			chosen = append(chosen, f)
		}
	}
	for _, n := range names {
		if !slices.Contains(all, n) {
			return 0, nil, fmt.Errorf("no fault %q: want some of %s", n, strings.Join(all, ", "))
		}
	}
	return repeat, chosen, nil
}

// overhead is what a trial takes besides the fault: a lab comes up and goes.
const overhead = settle + 4*time.Second

// estimate says what will be played, and how long that will take.
func (b bench) estimate(chosen []fault, repeat int) string {
	var sum time.Duration
	trials := 0
	for _, f := range chosen {
		trials += f.repeat(repeat)
		sum += time.Duration(f.repeat(repeat)) * (overhead + f.span(b.outage))
	}
	return fmt.Sprintf("%d faults, %d trials, outages of %v: about %v", len(chosen), trials, b.outage, sum.Round(time.Minute))
}

// measure plays a fault and reports its figures. A trial that could not be played is
// said, and missing among the trials; if half of them could not, that is the error.
func (b bench) measure(ctx context.Context, r *figure.Report, f fault, repeat int) error {
	var all []Outcome
	var failed error
	repeat = f.repeat(repeat)
	for n := range repeat {
		variant := f.variant(n)
		o, err := b.run(ctx, f, variant)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			failed = fmt.Errorf("trial %d of %s: %w", n+1, f.title(variant), err)
			fmt.Fprintln(os.Stderr, failed)
			continue
		}
		if why := o.why(); why != "" && f.harmless {
			fmt.Fprintf(os.Stderr, "trial %d of %s: %s\n", n+1, f.title(variant), why)
		}
		for _, w := range o.Wrong {
			fmt.Fprintf(os.Stderr, "trial %d of %s: %s\n", n+1, f.title(variant), w)
		}
		all = append(all, o)
	}
	if len(all) <= repeat/2 {
		return failed
	}
	f.report(r, all, repeat)
	return nil
}
