package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"tombolo.io/tombolo/deploy/lab/plan"
	"tombolo.io/tombolo/deploy/lab/router"
	"tombolo.io/tombolo/deploy/lab/sandbox"
)

// recordFile notes a started process.
func (l *Lab) recordFile(machine string, role Role) string {
	return filepath.Join(l.machineDir(machine), string(role)+".json")
}

// process returns the process that was started last in a role, and
// fs.ErrNotExist when none was.
func (l *Lab) process(machine string, role Role) (sandbox.Process, error) {
	var p sandbox.Process
	raw, err := os.ReadFile(l.recordFile(machine, role))
	if err == nil {
		err = json.Unmarshal(raw, &p)
	}
	if err != nil {
		return p, fmt.Errorf("reading the process of %s %s: %w", machine, role, err)
	}
	return p, nil
}

// command places what runs on a machine.
func (l *Lab) command(m plan.Machine, args, env []string) (sandbox.Command, error) {
	groups, err := l.cgroups()
	if err != nil {
		return sandbox.Command{}, err
	}
	path, err := l.lookPath(args[0])
	if err != nil {
		return sandbox.Command{}, err
	}
	args = append([]string{path}, args[1:]...)
	return sandbox.Command{Namespace: l.Namespace(m.Name), Cgroup: filepath.Join(groups, m.Cgroup()), Args: args, Env: env, Dir: "/"}, nil
}

// start starts a task and returns when it is ready. A task that ends before,
// or is not ready when ctx ends, is an error that quotes the end of its log.
func (l *Lab) start(ctx context.Context, t task) error {
	c, err := l.command(t.machine, t.args, plainEnv(os.Environ()))
	if err != nil {
		return err
	}
	log := l.Log(t.machine.Name, t.role)
	p, ended, err := c.Spawn(log)
	if err != nil {
		return fmt.Errorf("starting %s: %w", t, err)
	}
	if old, err := l.process(t.machine.Name, t.role); err == nil {
		if err := forget(old); err != nil {
			return errors.Join(err, p.Signal(syscall.SIGKILL))
		}
	}
	raw, err := json.Marshal(p)
	if err == nil {
		err = writeFile(l.recordFile(t.machine.Name, t.role), raw)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("noting %s: %w", t, err), p.Signal(syscall.SIGKILL))
	}
	return await(ctx, t, ended, log)
}

// await asks until the task says that it is ready.
func await(ctx context.Context, t task, ended <-chan error, log string) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := t.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case why := <-ended:
			return fmt.Errorf("%s ended (%w) before it was ready:\n%s", t, why, tail(log))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready (%w: %w):\n%s", t, context.Cause(ctx), err, tail(log))
		case <-tick.C:
		}
	}
}

// tail returns the last lines of a log, for an error.
func tail(log string) string {
	raw, err := os.ReadFile(log)
	if err != nil {
		return "  " + err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	if n := len(lines) - 8; n > 0 {
		lines = lines[n:]
	}
	return "  " + strings.Join(lines, "\n  ") + "\n  (" + log + ")"
}

// awaitReady returns when every process of a lab that is up says that it is ready:
// one that was just started may not be yet, and one that was stopped never is.
func (l *Lab) awaitReady(ctx context.Context) error {
	work, ctx := errgroup.WithContext(ctx)
	for _, m := range l.Machines() {
		tasks, err := l.tasks(m)
		if err != nil {
			return errors.Join(err, work.Wait())
		}
		for _, t := range tasks {
			work.Go(func() error { return await(ctx, t, nil, l.Log(m.Name, t.role)) })
		}
	}
	return work.Wait()
}

// startAll starts the tasks of machines side by side, those of one machine one
// after the other when sequential, and returns when all are ready. With roles
// named it starts those alone.
func (l *Lab) startAll(ctx context.Context, machines []plan.Machine, sequential bool, roles ...Role) (started int, err error) {
	work, ctx := errgroup.WithContext(ctx)
	for _, m := range machines {
		tasks, err := l.tasks(m)
		if err != nil {
			return 0, errors.Join(err, work.Wait())
		}
		tasks = slices.DeleteFunc(tasks, func(t task) bool { return len(roles) > 0 && !slices.Contains(roles, t.role) })
		started += len(tasks)
		if sequential {
			work.Go(func() error { return l.startInOrder(ctx, tasks) })
			continue
		}
		for _, t := range tasks {
			work.Go(func() error { return l.start(ctx, t) })
		}
	}
	return started, work.Wait()
}

func (l *Lab) startInOrder(ctx context.Context, tasks []task) error {
	for _, t := range tasks {
		if err := l.start(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// find returns the task of a machine in a role.
func (l *Lab) find(machine string, role Role) (task, error) {
	m, err := l.Machine(machine)
	if err != nil {
		return task{}, err
	}
	tasks, err := l.tasks(m)
	if err != nil {
		return task{}, err
	}
	var roles []Role
	for _, t := range tasks {
		if t.role == role {
			return t, nil
		}
		roles = append(roles, t.role)
	}
	return task{}, fmt.Errorf("%s has no process %q, only %v", machine, role, roles)
}

// Otherwise says how a process is started if not as the lab starts it.
type Otherwise struct {
	// Binary is another program in the place of the lab's own: an older or newer
	// tombolo. Empty is the lab's.
	Binary string
	// Flags come after those that the lab gives.
	Flags []string
}

// Start starts a process that is not running and returns when it is ready.
func (l *Lab) Start(ctx context.Context, machine string, role Role) error {
	return l.StartOtherwise(ctx, machine, role, Otherwise{})
}

// StartOtherwise is Start with a changed command. The next Start knows nothing
// of the change.
func (l *Lab) StartOtherwise(ctx context.Context, machine string, role Role, o Otherwise) error {
	t, err := l.find(machine, role)
	if err != nil {
		return err
	}
	if o.Binary != "" {
		if t.args[0] != l.binary {
			return fmt.Errorf("%s is no process of tombolo's", t)
		}
		if t.args[0], err = filepath.Abs(o.Binary); err != nil {
			return err
		}
	}
	t.args = append(t.args, o.Flags...)
	if p, err := l.process(machine, role); err == nil && p.Alive() {
		return fmt.Errorf("%s runs already, as process %d", t, p.PID)
	}
	return l.start(ctx, t)
}

// Kill sends a signal to a process of the lab. After SIGKILL and SIGTERM it
// returns when the process is gone.
func (l *Lab) Kill(ctx context.Context, machine string, role Role, sig syscall.Signal) error {
	t, err := l.find(machine, role)
	if err != nil {
		return err
	}
	p, err := l.process(machine, role)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s was never started", t)
	}
	if err != nil {
		return err
	}
	if err := p.Signal(sig); err != nil {
		return fmt.Errorf("sending %v to %s: %w", sig, t, err)
	}
	if sig != syscall.SIGKILL && sig != syscall.SIGTERM {
		return nil
	}
	if err := gone(ctx, t, p); err != nil {
		return err
	}
	return router.Forget(p.PID)
}

func gone(ctx context.Context, t task, p sandbox.Process) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for p.Alive() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s to end: %w", t, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// plainEnv leaves out what would configure our own processes behind their
// flags' back.
func plainEnv(env []string) []string {
	var out []string
	for _, e := range env {
		if !strings.HasPrefix(e, "TOMBOLO_") {
			out = append(out, e)
		}
	}
	return out
}
