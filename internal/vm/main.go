// Command vm runs the tests that have a data path in another kernel: the oldest that
// Tombolo promises to run on, Debian's 6.1, in qemu. It has no tcx, another verifier,
// and what the kernel of a developer's machine may lack: VLAN devices, and netem.
//
//	go run ./internal/vm [-v] [-share] [-run REGEXP] [PACKAGE...]
//
// It fetches the kernel's package from Debian's mirror and unpacks what it needs, once;
// nothing is installed. Every package whose tests use bpf/bpftest is built with the tag
// vm and run with -short, in an initramfs whose first process is internal/vm/guest.
// What the kernel has not is asked of it there, and the tests that need it are named.
// Any other test that was asked for and did not pass is a failure, and so is a complaint
// of the kernel.
//
// Emulation is slow: this tells whether things work, not how fast.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"tombolo.io/tombolo/internal/vm/job"
)

// config is what the command line says.
type config struct {
	cache    string
	timeout  time.Duration
	verbose  bool
	share    bool
	run      *regexp.Regexp
	packages []string
}

func main() {
	cfg, err := parse(os.Args[1:])
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err = run(ctx, cfg)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		os.Exit(1)
	}
}

func parse(args []string) (config, error) {
	var cfg config
	home, err := os.UserCacheDir()
	if err != nil {
		home = os.TempDir() // root of a bare CI job has no home
	}
	flags := flag.NewFlagSet("vm", flag.ExitOnError)
	flags.StringVar(&cfg.cache, "cache", filepath.Join(home, "tombolo", "kernels"), "where unpacked kernels are kept")
	flags.DurationVar(&cfg.timeout, "timeout", 30*time.Minute, "how long the machine may run")
	flags.BoolVar(&cfg.verbose, "v", false, "show all that tests write, and the kernel")
	flags.BoolVar(&cfg.share, "share", false, "only what make test runs")
	pattern := flags.String("run", "", "only the tests that match")
	if err := flags.Parse(args); err != nil {
		return config{}, err
	}
	cfg.packages = flags.Args()
	cfg.run, err = regexp.Compile(*pattern)
	return cfg, err
}

func run(ctx context.Context, cfg config) error {
	k, err := fetch(ctx, cfg.cache)
	if err != nil {
		return fmt.Errorf("fetching a kernel: %w", err)
	}
	dir, err := os.MkdirTemp("", "tombolo-vm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := build(ctx, cfg, dir)
	if err != nil {
		return fmt.Errorf("building the tests: %w", err)
	}
	modules, err := k.closure(modules...)
	if err != nil {
		return fmt.Errorf("looking for the kernel's modules: %w", err)
	}
	image := filepath.Join(dir, "initramfs")
	j, err := pack(image, s, modules)
	if err != nil {
		return fmt.Errorf("making an initramfs: %w", err)
	}
	ctx, stop := context.WithTimeout(ctx, cfg.timeout)
	defer stop()
	return verdictOf(ctx, cfg, machine{kernel: k, image: image, console: filepath.Join(dir, "console")}, j)
}

// verdictOf starts the machine, and says what is wrong with what it did.
func verdictOf(ctx context.Context, cfg config, m machine, j job.Job) error {
	v := newVerdict(j, os.Stdout, cfg.verbose)
	err := m.run(ctx, v.line)
	console, readErr := os.ReadFile(m.console)
	if readErr != nil && err == nil {
		err = readErr
	}
	if cfg.verbose {
		os.Stdout.Write(console)
	}
	return v.end(err, string(console))
}
