package embedded

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
)

// initialised is the file that says that a store has its epoch and its users.
// It names the users, so that a change of them is made on the next start.
const initialised = "initialised"

// initialise gives a store, while it listens nowhere, its epoch and users,
// unless it has them. A start that was cut short is made up for.
func initialise(ctx context.Context, cfg Config, log *slog.Logger) error {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	done := filepath.Join(cfg.Dir, initialised)
	had, err := os.ReadFile(done)
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("reading the data directory: %w", err)
	}
	stored, err := exists(filepath.Join(cfg.Dir, "member"))
	if err != nil {
		return fmt.Errorf("reading the data directory: %w", err)
	}
	if stored && string(had) == cfg.access() {
		return nil
	}
	if !stored {
		err = create(ctx, cfg, log)
	} else {
		// An epoch is new when the store is, or was restored; a change of users
		// leaves it.
		err = prepare(ctx, cfg, log, had == nil)
	}
	if err != nil {
		return err
	}
	if err := os.WriteFile(done, []byte(cfg.access()), 0o600); err != nil {
		return fmt.Errorf("noting that the store is initialised: %w", err)
	}
	return nil
}

// create makes a new store aside and moves it into place when it is whole: an
// etcd that was stopped while it wrote its first records never has a leader.
func create(ctx context.Context, cfg Config, log *slog.Logger) error {
	dir := cfg.Dir
	cfg.Dir = filepath.Join(dir, "creating")
	if err := os.RemoveAll(cfg.Dir); err != nil {
		return fmt.Errorf("removing a store that was not finished: %w", err)
	}
	if err := os.Mkdir(cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	if err := prepare(ctx, cfg, log, true); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(cfg.Dir, "member"), filepath.Join(dir, "member")); err != nil {
		return fmt.Errorf("moving the new store into place: %w", err)
	}
	return os.RemoveAll(cfg.Dir)
}

// prepare starts the store without any listener, writes to it and stops it.
func prepare(ctx context.Context, cfg Config, log *slog.Logger, epoch bool) error {
	ec, err := cfg.embed(log, nil)
	if err != nil {
		return err
	}
	// Every store has an identity of its own, by which readers know it from
	// another one that took its address.
	ec.InitialClusterToken = rand.Text()
	e, err := launch(ctx, ec, log)
	if err != nil {
		return err
	}
	defer e.Close()
	ctx = e.Server.AuthStore().WithRoot(ctx)
	c := v3client.New(e.Server)
	if epoch {
		if _, err := c.Put(ctx, cfg.EpochKey, rand.Text()); err != nil {
			return fmt.Errorf("writing the epoch: %w", err)
		}
	}
	if cfg.TLS.Empty() {
		return disable(ctx, c)
	}
	return grant(ctx, c, cfg.Users)
}

// disable lets everybody in, as a store without certificates has to.
func disable(ctx context.Context, c *clientv3.Client) error {
	if _, err := c.AuthDisable(ctx); err != nil {
		return fmt.Errorf("switching authentication off: %w", err)
	}
	return nil
}
