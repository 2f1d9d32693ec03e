package inspect

import (
	"context"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
)

// Process is what a role on some node last said of itself. It is gone a few
// seconds after the process, or its way to the store, is.
type Process struct {
	Role    string             `json:"role"`
	Node    string             `json:"node"`
	Version string             `json:"version,omitempty"`
	Started time.Time          `json:"started,omitzero"`
	Health  clustermesh.Health `json:"health"`
	Reasons []string           `json:"reasons,omitempty"`
}

// Processes returns the roles of a cluster that report to its store, by role
// and node.
func Processes(ctx context.Context, c *etcd.Client) ([]Process, error) {
	var out []Process
	_, err := c.List(ctx, clustermesh.Root+string(clustermesh.Status)+"/", func(kv etcd.KV) error {
		k, err := clustermesh.ParseKey(kv.Key)
		if err != nil || k.Kind != clustermesh.KindProcess {
			return nil // tombolo store ls shows it
		}
		o, err := clustermesh.Decode(k, kv.Value)
		if err != nil {
			out = append(out, Process{Role: k.Name, Health: clustermesh.HealthDegraded, Reasons: []string{err.Error()}})
			return nil
		}
		p := o.(*clustermesh.ProcessStatus)
		out = append(out, Process{p.Role, p.Node, p.Version, p.Started, p.Health, p.Reasons})
		return nil
	})
	return out, err
}
