package main

import (
	"context"
	"fmt"
	"time"

	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/deploy/lab/plan"
)

// watchVerdicts looks at the maps of every node from now on, ten times a second,
// and tells at the end how many clusters and nodes were down at most.
func (t *trial) watchVerdicts() (watched func() (int, error)) {
	ctx, cancel := context.WithCancel(t.ctx)
	type seen struct {
		most int
		err  error
	}
	end, nodes := make(chan seen, 1), t.nodes() // those of before: the lab may change
	go func() {
		var s seen
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for s.err == nil {
			select {
			case <-ctx.Done():
				end <- s
				return
			case <-tick.C:
			}
			var n int
			n, s.err = t.downAt(nodes)
			s.most = max(s.most, n)
		}
		end <- s
	}()
	return func() (int, error) {
		cancel()
		s := <-end
		return s.most, s.err
	}
}

// nodes returns the names of the lab's nodes.
func (t *trial) nodes() (names []string) {
	for _, m := range t.Machines() {
		if m.Kind == plan.KindNode {
			names = append(names, m.Name)
		}
	}
	return names
}

// down counts what the maps of all nodes hold for down, downAt those of some.
func (t *trial) down() (int, error) { return t.downAt(t.nodes()) }

func (t *trial) downAt(names []string) (int, error) {
	sum := 0
	for _, name := range names {
		clusters, nodes, err := bpf.DownAt(t.BPFFS(name))
		if err != nil {
			return 0, fmt.Errorf("looking at the verdicts of %s: %w", name, err)
		}
		sum += clusters + nodes
	}
	return sum, nil
}
