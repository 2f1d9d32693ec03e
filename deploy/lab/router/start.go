package router

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/vishvananda/netns"
)

// stopTime is how long a daemon may take to end before it is killed.
const stopTime = 5 * time.Second

// Running is a router whose daemons were started by this process.
type Running struct {
	daemons []*daemon
}

type daemon struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// Start writes the files and starts the daemons in the network namespace of
// that name (see ip-netns), each after the one before it is ready. Each logs
// to NAME.log in the directory. On an error nothing is left running.
func Start(ctx context.Context, kind Kind, c Config, namespace string) (*Running, error) {
	if err := kind.Installed(); err != nil {
		return nil, err
	}
	s, err := c.Setup(kind)
	if err != nil {
		return nil, err
	}
	if err := s.Write(); err != nil {
		return nil, err
	}
	r := &Running{}
	for _, d := range s.Daemons {
		if err := r.start(ctx, s.Dir, d, namespace); err != nil {
			return nil, errors.Join(fmt.Errorf("starting %s of router %q: %w", d.Name, c.Name, err), r.Stop())
		}
	}
	return r, nil
}

func (r *Running) start(ctx context.Context, dir string, d Daemon, namespace string) error {
	log, err := os.OpenFile(filepath.Join(dir, d.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(d.Args[0], d.Args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := startIn(namespace, cmd); err != nil {
		return err
	}
	p := &daemon{name: d.Name, cmd: cmd, done: make(chan struct{})}
	r.daemons = append(r.daemons, p)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		err := cmd.Wait()
		cancel(fmt.Errorf("it ended (%v), see %s", err, log.Name()))
		close(p.done)
	}()
	return d.Await(ctx)
}

// startIn starts a command from a thread that is in the namespace and that
// ends with its goroutine, so that no other goroutine ever runs there.
func startIn(namespace string, cmd *exec.Cmd) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		ns, err := netns.GetFromName(namespace)
		if err != nil {
			result <- fmt.Errorf("opening network namespace %q: %w", namespace, err)
			return
		}
		defer ns.Close()
		if err := netns.Set(ns); err != nil {
			result <- fmt.Errorf("entering network namespace %q: %w", namespace, err)
			return
		}
		result <- cmd.Start()
	}()
	return <-result
}

// Stop ends the daemons, the last one first.
func (r *Running) Stop() error {
	var errs []error
	for _, d := range slices.Backward(r.daemons) {
		errs = append(errs, d.stop())
	}
	r.daemons = nil
	return errors.Join(errs...)
}

// Kill ends the daemons as a crash would.
func (r *Running) Kill() error {
	var errs []error
	for _, d := range r.daemons {
		errs = append(errs, d.kill())
	}
	r.daemons = nil
	return errors.Join(errs...)
}

func (d *daemon) stop() error {
	select {
	case <-d.done:
		return nil
	default:
	}
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping %s: %w", d.name, err)
	}
	select {
	case <-d.done:
		return nil
	case <-time.After(stopTime):
		return d.kill()
	}
}

func (d *daemon) kill() error {
	if err := d.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing %s: %w", d.name, err)
	}
	<-d.done
	return Forget(d.cmd.Process.Pid)
}
