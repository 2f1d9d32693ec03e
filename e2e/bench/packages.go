package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// metric is one number of a package's own Go benchmark, and its goal.
type metric struct {
	name, unit string
	goal       float64
}

// inPackage is a Go benchmark that lives beside the tests of its package,
// because it needs what they set up.
type inPackage struct {
	path, benchmark, times string
	// metrics are those of testing.B.ReportMetric, by their unit there.
	metrics map[string]metric
}

var mirror = inPackage{"./clustermesh/mirror", "BenchmarkMirror", "3x", map[string]metric{
	"s/copy":               {"mirror_10000_services", "s", 2},
	"s/key-by-key":         {"mirror_10000_services_key_by_key", "s", 0},
	"s/burst":              {"mirror_burst_1000", "s", 0.3},
	"s/burst-key-by-key":   {"mirror_burst_1000_key_by_key", "s", 0},
	"ms/change":            {"mirror_change_median", "ms", 3},
	"ms/change-p99":        {"mirror_change_p99", "ms", 0},
	"ms/change-key-by-key": {"mirror_change_median_key_by_key", "ms", 0},
}}

var change = inPackage{"./clustermesh/apiserver", "BenchmarkChange", "300x", map[string]metric{
	"ms-median": {"manifest_to_mirror_median", "ms", 0},
	"ms-p99":    {"manifest_to_mirror_p99", "ms", 0},
}}

var ipam = inPackage{"./clustermesh/ipam", "BenchmarkAllocate", "3x", map[string]metric{
	"s/all":     {"ipam_100000_addresses", "s", 2},
	"us/change": {"ipam_change_with_100000", "us", 0},
}}

var flip = inPackage{"./agent/loadbalancer", "BenchmarkFlip", "5x", map[string]metric{
	"us/verdict-worst": {"flip_10000_services_verdict_stored_worst", "us", 1000},
	"ms/flip":          {"flip_10000_services_tables_rebuilt", "ms", 300},
}}

var verdict = inPackage{"./agent/loadbalancer", "BenchmarkVerdictWhileFlipping", "5x", map[string]metric{
	"us-median": {"flip_10000_services_next_verdict_median", "us", 0},
	"us-p99":    {"flip_10000_services_next_verdict_p99", "us", 1000},
	"us-worst":  {"flip_10000_services_next_verdict_worst", "us", 0},
}}

func benchFlip(r *Report) error   { return errors.Join(flip.run(r), verdict.run(r)) }
func benchMirror(r *Report) error { return mirror.run(r) }
func benchChange(r *Report) error { return change.run(r) }
func benchIPAM(r *Report) error   { return ipam.run(r) }

// run runs the benchmark and reports its metrics.
func (p inPackage) run(r *Report) error {
	cmd := exec.Command("go", "test", "-run", "^$", "-bench", "^"+p.benchmark+"$", "-benchtime", p.times, p.path)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("running %s of %s: %w\n%s", p.benchmark, p.path, err, out)
	}
	found := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], p.benchmark) {
			continue
		}
		for i := 2; i+1 < len(fields); i += 2 {
			m, wanted := p.metrics[fields[i+1]]
			if !wanted {
				continue
			}
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return fmt.Errorf("reading %q: %w", line, err)
			}
			found++
			m.report(r, value)
		}
	}
	if found != len(p.metrics) {
		return fmt.Errorf("%s of %s printed %d of %d metrics", p.benchmark, p.path, found, len(p.metrics))
	}
	return nil
}

func (m metric) report(r *Report, value float64) {
	if m.goal == 0 {
		r.State(m.name, value, m.unit)
		return
	}
	r.Below(m.name, value, m.unit, m.goal)
}
