package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"tombolo.io/tombolo/deploy/lab/plan"
	"tombolo.io/tombolo/deploy/lab/router"
	"tombolo.io/tombolo/deploy/lab/sandbox"
)

// Down removes a lab: every process, namespace, cgroup, mount, pin and file,
// whoever was killed while making them and whatever notes are lost. A lab that
// is not there is ErrNoLab.
func Down(ctx context.Context, base, name string) error {
	if err := plan.ValidName(name); err != nil {
		return err
	}
	lock, err := take(base, name)
	if err != nil {
		return err
	}
	defer lock.release()
	left, err := remnants(base, name)
	if err != nil {
		return err
	}
	if !left {
		return fmt.Errorf("%w: %s", ErrNoLab, name)
	}
	return sweep(ctx, base, name)
}

// remnants says whether anything of a lab is there.
func remnants(base, name string) (bool, error) {
	if _, err := os.Stat(filepath.Join(base, name)); !missing(err) {
		return true, err
	}
	names, err := sandbox.Namespaces(plan.Prefix(name))
	if err != nil || len(names) > 0 {
		return true, err
	}
	root, err := sandbox.FindCgroups(base)
	if missing(err) {
		return false, nil
	}
	if err == nil {
		_, err = os.Stat(filepath.Join(root, "tombolo-"+name))
	}
	if missing(err) {
		return false, nil
	}
	return true, err
}

// sweepTime bounds how long the processes of a lab may take to die.
const sweepTime = 20 * time.Second

// sweep removes whatever bears the lab's name. Each step is made whatever
// became of those before it, and what could not be removed is in the error;
// the directory goes last, so that a sweep that was cut short can be repeated.
func sweep(ctx context.Context, base, name string) error {
	ctx, cancel := context.WithTimeout(ctx, sweepTime)
	defer cancel()
	dir := filepath.Join(base, name)
	group, err := cgroupOf(base, name)
	if err != nil {
		return err
	}
	pids, err := sandbox.Processes(group)
	if err != nil {
		return err
	}
	ended, err := recorded(dir)
	errs := []error{err, sandbox.RemoveCgroup(ctx, group)}
	for _, pid := range pids {
		errs = append(errs, router.Forget(pid))
	}
	for _, p := range ended {
		errs = append(errs, forget(p))
	}
	names, err := sandbox.Namespaces(plan.Prefix(name))
	errs = append(errs, err, sandbox.KillInNamespaces(names))
	for _, n := range names {
		errs = append(errs, sandbox.DeleteNamespace(n))
	}
	errs = append(errs, sandbox.UnmountBelow(dir))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing the state of lab %s: %w", name, err)
	}
	return nil
}

// recorded returns the processes of a lab of which a record is there. One that was
// cut off while it was written says nothing.
func recorded(dir string) (out []sandbox.Process, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "machines", "*", "*.json"))
	for _, f := range files {
		raw, readErr := os.ReadFile(f)
		if err = errors.Join(err, readErr); readErr != nil {
			continue
		}
		var p sandbox.Process
		if json.Unmarshal(raw, &p) == nil && p.PID > 0 {
			out = append(out, p)
		}
	}
	return out, err
}

// forget removes what a process left behind that ended by itself or by somebody
// else's hand, unless its number is another one's by now.
func forget(p sandbox.Process) error {
	if err := syscall.Kill(p.PID, 0); err != syscall.ESRCH {
		return nil
	}
	return router.Forget(p.PID)
}
