package embedded

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"
)

// Restore makes cfg.Dir, which must not hold a store, one with the contents
// of a snapshot, with an identity and an epoch of its own. Readers of the
// store keep what they have until its writers have made a new pass. The
// server must not run.
func Restore(ctx context.Context, cfg Config, log *slog.Logger, file string) error {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	stored, err := exists(filepath.Join(cfg.Dir, "member"))
	if err != nil {
		return fmt.Errorf("reading the data directory: %w", err)
	}
	if stored {
		return fmt.Errorf("restoring into %s: it holds a store already; move it away first", cfg.Dir)
	}
	if err := os.Remove(filepath.Join(cfg.Dir, initialised)); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("restoring into %s: %w", cfg.Dir, err)
	}
	// etcd wants a directory that does not exist, and leaves half of one
	// behind when it fails.
	tmp, err := os.MkdirTemp(cfg.Dir, ".restore-")
	if err != nil {
		return fmt.Errorf("restoring into %s: %w", cfg.Dir, err)
	}
	defer os.RemoveAll(tmp)
	err = snapshot.NewV3(zapLogger(log)).Restore(snapshot.RestoreConfig{
		SnapshotPath: file, Name: memberName, OutputDataDir: filepath.Join(tmp, "data"),
		PeerURLs: []string{peerURL}, InitialCluster: memberName + "=" + peerURL,
		InitialClusterToken: rand.Text(),
	})
	if err != nil && strings.Contains(err.Error(), "snapshot missing hash") { // etcdutl has no value for it
		return fmt.Errorf("restoring %s: it is none of those that tombolo store snapshot, or etcdctl snapshot save, writes", file)
	}
	if err != nil {
		return fmt.Errorf("restoring %s: %w", file, err)
	}
	restored := cfg
	restored.Dir = filepath.Join(tmp, "data")
	if err := initialise(ctx, restored, log); err != nil {
		return err
	}
	for _, name := range []string{"member", initialised} {
		if err := os.Rename(filepath.Join(restored.Dir, name), filepath.Join(cfg.Dir, name)); err != nil {
			return fmt.Errorf("restoring into %s: %w", cfg.Dir, err)
		}
	}
	return nil
}
