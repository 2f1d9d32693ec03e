package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tombolo.io/tombolo/agent"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/internal/program"
)

const (
	endpointChanges = 200
	endpointPause   = 220 * time.Millisecond // for what follows a change to come to rest
	endpointPoll    = 100 * time.Microsecond
	endpointFile    = "endpointslice_demo_echo-ipv4.yaml"
)

// benchEndpoint measures, in a lab of two clusters, from the rename of a file
// among east's manifests to the change being in the maps of an agent in west.
func benchEndpoint(r *Report) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "tombolo-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	l := benchLab{binary: filepath.Join(dir, "tombolo"), name: fmt.Sprintf("bench%d", os.Getpid())}
	if err := program.Build(ctx, l.binary); err != nil {
		return err
	}
	// Not with ctx: a lab comes down also when the time is over.
	defer func() { err = errors.Join(err, l.run(context.Background(), nil, "down")) }()
	// One node each: the processes of more would take turns on this machine's cores.
	if err := l.run(ctx, nil, "up", "--nodes", "1"); err != nil {
		return err
	}
	took, err := l.measure(ctx)
	if err != nil {
		return err
	}
	r.Below("endpoint_manifest_to_remote_map_median", ms(median(took)), "ms", 8)
	r.Below("endpoint_manifest_to_remote_map_p99", ms(quantile(took, 0.99)), "ms", 40)
	return nil
}

// benchLab is a lab of the benchmark's own.
type benchLab struct{ binary, name string }

// run runs a command of `tombolo lab`, and reads the JSON that it prints into
// v, if that is not nil.
func (l benchLab) run(ctx context.Context, v any, args ...string) error {
	cmd := exec.CommandContext(ctx, l.binary, append([]string{"lab", "--name", l.name}, args...)...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("running tombolo lab %s: %w: %s", args[0], err, complaint.String())
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(out, v)
}

// measure takes the first endpoint of a service of east away and gives it
// back, and returns how long each change took to be seen in west.
func (l benchLab) measure(ctx context.Context) (took []time.Duration, err error) {
	manifests, bpffs, err := l.places(ctx)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(manifests, endpointFile)
	ready, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the endpoints: %w", err)
	}
	away := strings.Replace(string(ready), "ready: true, serving: true", "ready: false, serving: false", 1)
	_, rest, _ := strings.Cut(string(ready), `addresses: ["`)
	text, _, _ := strings.Cut(rest, `"`)
	address, err := netip.ParseAddr(text)
	if err != nil || away == string(ready) {
		return nil, fmt.Errorf("reading %s: no ready endpoint in it", path)
	}
	west, err := lookFor(bpffs, address)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, west.maps.Close()) }()
	for i := range endpointChanges {
		there := i%2 == 1
		contents := away
		if there {
			contents = string(ready)
		}
		d, err := replace(ctx, path, contents, func() bool { return west.selects() == there })
		if err != nil {
			return nil, fmt.Errorf("change %d: %w", i, err)
		}
		took = append(took, d)
		time.Sleep(endpointPause)
	}
	return took, nil
}

// replace puts a file in the place of another, and returns how long it takes
// from then until it is seen.
func replace(ctx context.Context, path, contents string, seen func() bool) (time.Duration, error) {
	fresh := path + ".new" // no manifest by its name
	if err := os.WriteFile(fresh, []byte(contents), 0o600); err != nil {
		return 0, fmt.Errorf("writing the endpoints: %w", err)
	}
	start := time.Now()
	if err := os.Rename(fresh, path); err != nil {
		return 0, fmt.Errorf("putting the endpoints into place: %w", err)
	}
	for {
		done := seen()
		took := time.Since(start)
		switch {
		case done:
			return took, nil
		case ctx.Err() != nil:
			return 0, fmt.Errorf("waiting for the change in the maps: %w", ctx.Err())
		}
		time.Sleep(endpointPoll)
	}
}

// looker reads in the kernel's maps of a node whether connections to a service may
// be led to an address.
type looker struct {
	maps    *bpf.Datapath
	service uint32
	address netip.Addr
}

// lookFor finds the service that has an address among its backends.
func lookFor(bpffs string, address netip.Addr) (*looker, error) {
	maps, err := bpf.Look(bpffs)
	if err != nil {
		return nil, err
	}
	for service := uint32(1); service < maps.Services.Len(); service++ {
		if l := (&looker{maps, service, address}); l.selects() {
			return l, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("looking for %v in the maps: no service has it", address), maps.Close())
}

// selects reports whether a table of the service has the address, by an entry that
// takes new clients.
func (l *looker) selects() bool {
	for _, number := range l.maps.Slots.Read(l.maps.Services.Read(l.service).Primary) {
		if b := l.maps.Backends.Read(number); b.State == bpf.Active && b.Service == l.service && b.Address.Addr() == l.address {
			return true
		}
	}
	return false
}

// places returns the directories of east's manifests and of west-1's maps.
func (l benchLab) places(ctx context.Context) (manifests, bpffs string, err error) {
	var status struct {
		Machines []struct {
			Name, Manifests string
			Processes       []struct {
				Role string
				Args []string
			}
		}
	}
	if err := l.run(ctx, &status, "status", "-o", "json"); err != nil {
		return "", "", err
	}
	for _, m := range status.Machines {
		if m.Name == "east-1" {
			manifests = m.Manifests
		}
		for _, p := range m.Processes {
			if i := slices.Index(p.Args, "--bpffs"); m.Name == "west-1" && p.Role == agent.Role && i >= 0 && i+1 < len(p.Args) {
				bpffs = p.Args[i+1]
			}
		}
	}
	if manifests == "" || bpffs == "" {
		return "", "", errors.New("looking for east-1's manifests and the bpffs of west-1's agent: tombolo lab status names none")
	}
	return manifests, bpffs, nil
}
