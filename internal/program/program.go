// Package program builds tombolo for tests and benchmarks that run the real thing.
package program

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// Build builds tombolo to a file, from within this module and with flags besides
// those of make build. It is built without cgo as there, also from tests under the
// race detector, which need cgo: with it package net is another one, and all that
// imports it would be compiled twice.
func Build(ctx context.Context, file string, flags ...string) error {
	args := append([]string{"build", "-o", file}, flags...)
	c := exec.CommandContext(ctx, "go", append(args, "tombolo.io/tombolo/cmd/tombolo")...)
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("building tombolo: %w\n%s", err, out)
	}
	return nil
}
