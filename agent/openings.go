package agent

import (
	"context"
	"time"

	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/bpf"
)

// hearEvery is how often it is looked whether a service asks for outlier
// detection.
const hearEvery = 50 * time.Millisecond

// hear has the kernel look on when connections are opened while a service asks
// for it, and not while none does: it would cost every connection of the node.
// What an agent before this one heard goes on until the maps are filled.
func (a *Agent) hear(ctx context.Context, datapath *bpf.Datapath, balancer *loadbalancer.LoadBalancer, attached <-chan struct{}) error {
	if !serves(ctx, balancer, attached) {
		return nil
	}
	tick := time.NewTicker(hearEvery)
	defer tick.Stop()
	heard := false
	for first := true; ; first = false {
		asked := balancer.Snapshot().Heard > 0
		if first || asked != heard {
			if err := datapath.Hear(asked); err != nil {
				return err
			}
		}
		switch {
		case asked && !heard:
			a.log.Info("a service asks for outlier detection: the kernel looks on when connections are opened")
		case heard && !asked:
			a.log.Info("no service asks for outlier detection any more: the kernel looks away")
		}
		heard = asked
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
