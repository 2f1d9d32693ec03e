package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// Snapshot writes the whole store, as it is now, to a file, which appears only
// when it is complete. It returns the file's size. A store that falls silent for 10 s
// is context.DeadlineExceeded.
func Snapshot(ctx context.Context, c *Client, file string) (size int64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(request, func() { cancel(context.DeadlineExceeded) })
	defer silence.Stop()
	defer func() {
		if err != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			err = fmt.Errorf("%w: nothing came for %v", context.Cause(ctx), request)
		}
	}()
	r, err := c.etcd.Snapshot(ctx)
	if err != nil {
		return 0, fmt.Errorf("asking for a snapshot: %w", err)
	}
	defer r.Close()
	tmp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-")
	if err != nil {
		return 0, fmt.Errorf("writing a snapshot: %w", err)
	}
	defer func() {
		if err != nil {
			os.Remove(tmp.Name())
		}
	}()
	defer tmp.Close()
	if size, err = io.Copy(tmp, &heard{r, silence}); errors.Is(rpctypes.Error(err), rpctypes.ErrPermissionDenied) {
		return 0, fmt.Errorf("reading a snapshot: %w: it takes the certificate of root, as an API server has it", err)
	}
	if err != nil {
		return 0, fmt.Errorf("reading a snapshot: %w", err)
	}
	if err := tmp.Sync(); err != nil {
		return 0, fmt.Errorf("writing a snapshot: %w", err)
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return 0, fmt.Errorf("writing a snapshot: %w", err)
	}
	return size, nil
}

// heard is a reader that puts the end of patience off with all that comes.
type heard struct {
	io.Reader
	silence *time.Timer
}

func (h *heard) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	if n > 0 {
		h.silence.Reset(request)
	}
	return n, err
}
