package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"golang.org/x/sync/errgroup"

	"tombolo.io/tombolo/internal/control"
)

// runRole claims a role in its run directory and runs it beside what it shows
// of itself, until ctx ends or either fails. The role is claimed before it
// does anything.
func runRole(ctx context.Context, runDir string, surface control.Surface, log *slog.Logger, run func(context.Context) error) error {
	socket, err := control.Open(runDir, surface.Role)
	if err != nil {
		return err
	}
	defer socket.Close()
	log.Info("starting", "role", surface.Role, "node", surface.Node, "version", surface.Version, "socket", socket.Path())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return socket.Serve(ctx, surface, log) })
	g.Go(func() error {
		err := run(ctx)
		if err == nil && ctx.Err() == nil {
			err = fmt.Errorf("the %s ended by itself", surface.Role)
		}
		return err
	})
	if err = g.Wait(); errors.Is(err, context.Canceled) {
		err = nil
	}
	log.Info("stopped", "role", surface.Role, "pid", os.Getpid())
	return err
}
