package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"tombolo.io/tombolo/internal/control"
)

// awaitReady waits until a role says that it does its work.
func awaitReady(ctx context.Context, runDir, role string) error {
	client := control.NewClient(runDir, role)
	for {
		var report control.Report
		err := client.Get(ctx, "/status", &report)
		if err == nil && report.NotReady == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the %s: %s: %w", role, report.NotReady, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// anonymousMemory returns a process's memory in MiB without what it maps of
// files and of eBPF maps.
func anonymousMemory(pid int) (float64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("reading the memory of process %d: %w", pid, err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "RssAnon:"); ok {
			var kib float64
			_, err := fmt.Sscanf(value, "%f kB", &kib)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("reading the memory of process %d: no line RssAnon", pid)
}
