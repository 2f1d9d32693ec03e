package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"tombolo.io/tombolo/deploy/lab/echo"
	"tombolo.io/tombolo/deploy/lab/objects"
)

// stream is a load that runs in a pod; its samples are read as they are made.
// It is owned by one goroutine.
type stream struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	lines  chan echo.Sample
	// all holds what was read so far.
	all []echo.Sample
}

// buffered is more samples than a step can make: were the client held up by who
// reads it, there would be no load just when something is killed.
const buffered = 1 << 16

// every is about a thousand requests a second by two workers: enough to see
// milliseconds, and little enough to leave the machine to what is measured.
var every = []string{"--each", "--interval", "2ms", "--parallel", "2"}

// ask starts a load from the demo's client to demo/echo.
func (d *Demo) ask(address netip.Addr) (*stream, error) {
	target := netip.AddrPortFrom(address, objects.EchoPort)
	command, err := d.Lab.Command(d.client, append([]string{"tombolo", "requests", "--target", target.String()}, every...))
	if err != nil {
		return nil, err
	}
	s := &stream{lines: make(chan echo.Sample, buffered)}
	out, in := io.Pipe()
	if s.cmd, err = command.Child(nil, in, &s.stderr); err != nil {
		return nil, fmt.Errorf("asking %s: %w", target, err)
	}
	go func() {
		err := s.cmd.Wait()
		in.CloseWithError(err) // nil becomes io.EOF
	}()
	go s.read(out)
	return s, nil
}

// read ends with the output; what is no sample ends it too, and stop says so.
func (s *stream) read(out *io.PipeReader) {
	defer close(s.lines)
	dec := json.NewDecoder(out)
	for {
		var sample echo.Sample
		if err := dec.Decode(&sample); err != nil {
			out.CloseWithError(err)
			return
		}
		s.lines <- sample
	}
}

// until reads samples until one is enough, and returns all. A load that ends
// before is an error, and so is the end of ctx; both say who answered.
func (s *stream) until(ctx context.Context, enough func(echo.Sample) bool) ([]echo.Sample, error) {
	for {
		select {
		case sample, ok := <-s.lines:
			if !ok {
				return s.all, fmt.Errorf("the client ended: %s", strings.TrimSpace(s.stderr.String()))
			}
			s.all = append(s.all, sample)
			if enough(sample) {
				return s.all, nil
			}
		case <-ctx.Done():
			return s.all, fmt.Errorf("%w; %s", context.Cause(ctx), seen(s.all))
		}
	}
}

// more reads until n requests that begin from now on have ended, and returns all.
func (s *stream) more(ctx context.Context, n int) ([]echo.Sample, error) {
	now := time.Now()
	return s.until(ctx, func(x echo.Sample) bool {
		if x.Start.After(now) {
			n--
		}
		return n <= 0
	})
}

// steady is how many answers in a row count as a new state of things.
const steady = 200

// steadily reads until a cluster gave so many answers in a row to requests that
// began after since, and returns all.
func (s *stream) steadily(ctx context.Context, cluster string, since time.Time) ([]echo.Sample, error) {
	row := 0
	all, err := s.until(ctx, func(x echo.Sample) bool {
		if row++; x.Error != "" || x.Answer.Cluster != cluster || x.Start.Before(since) {
			row = 0
		}
		return row >= steady
	})
	if err != nil {
		return all, fmt.Errorf("expected %d answers of %s in a row: %w", steady, cluster, err)
	}
	return all, nil
}

// stop ends the load and returns all samples.
func (s *stream) stop() []echo.Sample {
	s.cmd.Process.Signal(syscall.SIGTERM) // fails for one that has ended by itself, which until reports
	for sample := range s.lines {
		s.all = append(s.all, sample)
	}
	return s.all
}

// seen says who answered and what failed lately.
func seen(all []echo.Sample) string {
	r := echo.Summarize(latest(all))
	return fmt.Sprintf("of the last %d requests %d failed %v, answers %v", r.Requests, r.Failed, r.Errors, r.Pods)
}
