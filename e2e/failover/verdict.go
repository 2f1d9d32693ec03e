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
			n, s.err = downAt(nodes)
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

// nodes returns the lab's nodes by name, and where their maps are pinned.
func (t *trial) nodes() map[string]string {
	out := map[string]string{}
	for _, m := range t.Machines() {
		if m.Kind == plan.KindNode {
			out[m.Name] = t.BPFFS(m.Name)
		}
	}
	return out
}

// down counts what the maps of all nodes hold for down.
func (t *trial) down() (int, error) { return downAt(t.nodes()) }

func downAt(pins map[string]string) (int, error) {
	sum := 0
	for name, bpffs := range pins {
		clusters, nodes, err := bpf.DownAt(bpffs)
		if err != nil {
			return 0, fmt.Errorf("looking at the verdicts of %s: %w", name, err)
		}
		sum += clusters + nodes
	}
	return sum, nil
}
