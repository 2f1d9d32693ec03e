package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tombolo.io/tombolo/agent"
	"tombolo.io/tombolo/clustermesh/apiserver"
	"tombolo.io/tombolo/clustermesh/inspect"
	"tombolo.io/tombolo/internal/control"
)

// elsewhere is what becomes of the error of a command that an API server carries
// out, given on a node that has none: it names those of the cluster, as the agent
// beside reads them in the store. Any other error stays.
func elsewhere(ctx context.Context, runDir string, err error) error {
	if !errors.Is(err, control.ErrNotRunning) {
		return err
	}
	var all []inspect.Process
	if control.NewClient(runDir, agent.Role).Get(ctx, "/processes", &all) != nil {
		return err // that nothing at all runs here is said by err
	}
	var names []string
	for _, p := range all {
		if p.Role == apiserver.Role {
			names = append(names, p.Node)
		}
	}
	slices.Sort(names)
	switch len(names) {
	case 0:
		return fmt.Errorf("asking the apiserver: %w on this node, and none reports to this cluster's store: start one, then give the command there", control.ErrNotRunning)
	case 1:
		return fmt.Errorf("asking the apiserver: %w on this node but on %s: give the command there (in Kubernetes: kubectl exec, in the pod of that name)", control.ErrNotRunning, names[0])
	}
	return fmt.Errorf("asking the apiserver: %w on this node but on %s: give the command there (in Kubernetes: kubectl exec, in the pod of that name); those that stand by say which one leads",
		control.ErrNotRunning, strings.Join(names, ", "))
}
