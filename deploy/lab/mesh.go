package lab

import (
	"context"
	"fmt"
	"slices"
	"time"

	"tombolo.io/tombolo/deploy/lab/objects"
	"tombolo.io/tombolo/deploy/lab/plan"
	"tombolo.io/tombolo/internal/control"
)

// awaitMesh returns when the maps of every node balance demo/echo over the pods
// of all clusters: then every mirror was there once, and a control plane that
// is killed next leaves a whole mesh behind.
func (l *Lab) awaitMesh(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for _, m := range l.Machines() {
		if m.Kind != plan.KindNode {
			continue
		}
		agent := control.NewClient(l.RunDir(m.Name), string(Agent))
		for {
			err := l.balances(ctx, agent)
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("the agent of %s (%w): %w", m.Name, context.Cause(ctx), err)
			case <-tick.C:
			}
		}
	}
	return nil
}

// balanced is what an agent says of a service, as far as it is needed here.
type balanced struct {
	Name  string `json:"name"`
	Ports []struct {
		Frontends []string   `json:"frontends"`
		Backends  []struct{} `json:"backends"`
	} `json:"ports"`
}

// balances says what an agent's maps lack of demo/echo.
func (l *Lab) balances(ctx context.Context, agent *control.Client) error {
	var services []balanced
	if err := agent.Get(ctx, "/services", &services); err != nil {
		return err
	}
	const echo = objects.Namespace + "/" + objects.Echo
	i := slices.IndexFunc(services, func(s balanced) bool { return s.Name == echo })
	if i < 0 {
		return fmt.Errorf("it has no %s", echo)
	}
	want := l.Config.Clusters * l.Config.Nodes * l.Config.Pods
	for _, p := range services[i].Ports {
		if len(p.Backends) != want {
			return fmt.Errorf("%v of %s has %d backends, want %d", p.Frontends, echo, len(p.Backends), want)
		}
	}
	return nil
}
