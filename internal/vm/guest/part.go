package main

import (
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"tombolo.io/tombolo/internal/vm/job"
)

// runAll runs parts, as many at a time as the machine has CPUs: most of what they do
// is to load programs, and the verifier has one CPU.
func runAll(r *reporter, parts []job.Part, lacks map[string]bool) {
	const cpus = 2
	indices := make(chan int)
	var workers sync.WaitGroup
	for range cpus {
		workers.Go(func() {
			for i := range indices {
				r.say(job.Line{Event: job.Begins, Part: i})
				how := run(r, i, parts[i], lacks)
				r.say(job.Line{Event: job.Ends, Part: i, Text: how})
			}
		})
	}
	for i := range parts {
		indices <- i
	}
	close(indices)
	workers.Wait()
}

// run runs a part's tests, and returns how their process ended.
func run(r *reporter, index int, p job.Part, lacks map[string]bool) string {
	tests := slices.DeleteFunc(slices.Clone(p.Tests), func(name string) bool { return lacks[p.Needs[name]] })
	if len(tests) == 0 {
		return "exit status 0"
	}
	out := &output{reporter: r, part: index}
	cmd := exec.Command(p.Binary(),
		"-test.run=^("+strings.Join(tests, "|")+")$",
		"-test.v=test2json", "-test.short", "-test.timeout=20m")
	cmd.Dir = p.Dir()
	cmd.Env = []string{"PATH=/", "HOME=/tmp", "TMPDIR=/tmp", "GOTRACEBACK=all"}
	cmd.Stdout, cmd.Stderr = out, out
	// What a killed test left behind does not hold up the rest.
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	out.flush()
	if err != nil {
		return err.Error()
	}
	return cmd.ProcessState.String()
}
