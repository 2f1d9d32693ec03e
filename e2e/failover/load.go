package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"tombolo.io/tombolo/deploy/lab/echo"
)

// load is a client in a pod.
type load struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	done   chan error
	all    []echo.Connection
}

func (t *trial) load(target netip.AddrPort) (*load, error) {
	c, err := t.Command(client, []string{"tombolo", "connections", "--target", target.String(),
		"--rate", strconv.Itoa(t.rate), "--hold", strconv.Itoa(hold), "--timeout", timeout.String()})
	if err != nil {
		return nil, err
	}
	l := &load{done: make(chan error, 1)}
	out, in := io.Pipe()
	if l.cmd, err = c.Child(nil, in, &l.stderr); err != nil {
		return nil, fmt.Errorf("starting the load: %w", err)
	}
	cmd := l.cmd
	go func() {
		err := cmd.Wait()
		in.CloseWithError(err) // nil becomes io.EOF
	}()
	go func() {
		dec := json.NewDecoder(out)
		for {
			var c echo.Connection
			if err := dec.Decode(&c); err != nil {
				out.CloseWithError(err)
				l.done <- err
				return
			}
			l.all = append(l.all, c)
		}
	}()
	return l, nil
}

// stop ends the load and returns what became of its connections; a second call
// returns the same.
func (l *load) stop() ([]echo.Connection, error) {
	if l.cmd == nil {
		return l.all, nil
	}
	l.cmd.Process.Signal(syscall.SIGTERM) // fails for one that ended by itself, which its output says
	l.cmd = nil
	if err := <-l.done; !errors.Is(err, io.EOF) {
		return l.all, fmt.Errorf("the load ended: %w: %s", err, strings.TrimSpace(l.stderr.String()))
	}
	return l.all, nil
}
