package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"tombolo.io/tombolo/deploy/lab/plan"
)

// Restore puts another store in the place of a cluster's: that of a snapshot, or
// an empty one when snapshot is empty. The process with the etcd in it, which is the
// API server unless the lab keeps them apart, is killed when it runs, and started on
// the new store. The old one is gone.
func (l *Lab) Restore(ctx context.Context, cluster, snapshot string) error {
	c, ok := l.Cluster(cluster)
	if !ok {
		return l.noCluster(cluster)
	}
	node := c.Nodes[0].Name
	if snapshot != "" {
		if _, err := os.Stat(snapshot); err != nil {
			return fmt.Errorf("reading the snapshot: %w", err)
		}
	}
	if err := l.Kill(ctx, node, l.store(), syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	data := l.dataDir(c)
	if err := os.RemoveAll(data); err != nil {
		return fmt.Errorf("removing the store of %s: %w", cluster, err)
	}
	if snapshot != "" {
		if err := l.restoreFrom(node, snapshot, data); err != nil {
			return fmt.Errorf("restoring the store of %s: %w", cluster, err)
		}
	}
	return l.Start(ctx, node, l.store())
}

// restoreFrom runs the command that an operator would.
func (l *Lab) restoreFrom(node, snapshot, data string) error {
	whole, err := filepath.Abs(snapshot)
	if err != nil {
		return err
	}
	command, err := l.Command(node, []string{"tombolo", "store", "restore", whole, "--data-dir", data})
	if err != nil {
		return err
	}
	var said bytes.Buffer
	if err := command.Run(nil, &said, &said); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String()))
	}
	return nil
}

// dataDir holds the store of a cluster.
func (l *Lab) dataDir(c plan.Cluster) string { return filepath.Join(l.clusterDir(c.Name), "etcd") }
