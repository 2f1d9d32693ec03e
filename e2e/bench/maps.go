package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"time"

	"golang.org/x/sync/errgroup"

	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/agent/maglev"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/internal/program"
)

// The mesh that the design has in mind.
const (
	manyServices    = 10_000
	backendsEach    = 10
	slotsEach       = 1021
	mapsRepetitions = 5
)

// benchMaps measures how fast a fresh agent's maps come about.
func benchMaps(r *Report) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := benchTables(r); err != nil {
		return err
	}
	s, err := newStore(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.fill(ctx, manyServices, backendsEach); err != nil {
		return fmt.Errorf("filling the store: %w", err)
	}
	var took []time.Duration
	for range mapsRepetitions {
		d, err := fillFresh(ctx, s)
		if err != nil {
			return err
		}
		took = append(took, d)
	}
	r.Below("etcd_to_fresh_maps_10000_services", median(took).Seconds(), "s", 2)
	return benchMemory(ctx, r, s)
}

// benchTables writes and computes the tables alone.
func benchTables(r *Report) (err error) {
	p, err := newPlace(bpf.DefaultSizes())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.remove()) }()
	d, err := p.load()
	if err != nil {
		return err
	}
	defer d.Close()
	backends := make([]maglev.Backend, backendsEach)
	for i := range backends {
		backends[i] = maglev.Backend{Cluster: 2, Address: netip.AddrPortFrom(nth(netip.MustParseAddr("10.128.0.0"), i), 8080), Weight: 100}
	}
	var builder maglev.Builder
	table := builder.Table(nil, backends, slotsEach)
	var written, computed []time.Duration
	for range rounds {
		start := time.Now()
		for i := range uint32(manyServices) {
			d.Slots.Write(i*slotsEach, table)
		}
		written = append(written, time.Since(start))
		start = time.Now()
		for i := range uint32(manyServices) {
			backends[0].Cluster = uint16(i%500) + 1 // another table each time
			table = builder.Table(table[:0], backends, slotsEach)
			d.Slots.Write(i*slotsEach, table)
		}
		computed = append(computed, time.Since(start))
	}
	r.Below("tables_written_10000x1021", ms(median(written)), "ms", 50)
	r.Below("tables_computed_and_written_10000x1021", ms(median(computed)), "ms", 250)
	return nil
}

// fillFresh returns how long it takes from the first word to the store until
// every service is in maps that were empty.
func fillFresh(ctx context.Context, s *store) (took time.Duration, err error) {
	p, err := newPlace(bpf.DefaultSizes())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.remove()) }()
	d, err := p.load()
	if err != nil {
		return 0, err
	}
	defer d.Close()
	ctx, cancel := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	batches := make(chan view.Batch)
	lb := loadbalancer.New(loadbalancer.Config{Node: "east-1"}, loadbalancer.Kernel(d), quiet)
	start := time.Now()
	group.Go(func() error { return view.Watch(ctx, s.client, quiet, batches) })
	group.Go(func() error { return lb.Run(ctx, batches) })
	select {
	case <-lb.Filled():
		took = time.Since(start)
	case <-ctx.Done():
	}
	in, err := d.Frontends.All()
	cancel()
	if ran := group.Wait(); ran != nil && !errors.Is(ran, context.Canceled) {
		return 0, ran
	}
	if err == nil && len(in) != manyServices {
		err = fmt.Errorf("%d frontends are in the maps, want %d", len(in), manyServices)
	}
	return took, err
}

// benchMemory runs the real agent against the store and reads what the kernel
// says of its memory.
func benchMemory(ctx context.Context, r *Report, s *store) (err error) {
	p, err := newPlace(bpf.DefaultSizes())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.remove()) }()
	binary := p.dir + "/tombolo"
	if err := program.Build(ctx, binary); err != nil {
		return err
	}
	agent := exec.Command(binary, "agent", "--node-name", "east-1", "--run-dir", p.dir,
		"--etcd-endpoints", s.url, "--bpffs", p.config.BPFFS, "--cgroup", p.config.Cgroup, "--log-level", "error")
	if err := agent.Start(); err != nil {
		return fmt.Errorf("starting an agent: %w", err)
	}
	defer func() { agent.Process.Kill(); agent.Wait() }()
	if err := awaitReady(ctx, p.dir, "agent"); err != nil {
		return err
	}
	anon, err := anonymousMemory(agent.Process.Pid)
	if err != nil {
		return err
	}
	r.Below("agent_memory_100000_remote_endpoints", anon, "MiB", 200)
	r.State("agent_maps_default_sizes", float64(bpf.DefaultSizes().Memory())/(1<<20), "MiB")
	return nil
}
