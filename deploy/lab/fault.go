package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"tombolo.io/tombolo/deploy/lab/fault"
	"tombolo.io/tombolo/deploy/lab/plan"
)

// Faults returns what is wrong with the lab on purpose, the oldest first.
func (l *Lab) Faults() ([]fault.Fault, error) {
	raw, err := os.ReadFile(l.faultsFile())
	if missing(err) {
		return nil, nil
	}
	var all []fault.Fault
	if err == nil {
		err = json.Unmarshal(raw, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the faults of lab %s: %w", l.Lab, err)
	}
	return all, nil
}

func (l *Lab) faultsFile() string { return filepath.Join(l.Dir, "faults.json") }

// Inject brings a fault about and notes it. A kill or pause without a role is
// one of every process of the machine, a fault each.
func (l *Lab) Inject(ctx context.Context, f fault.Fault) ([]fault.Fault, error) {
	if err := f.Validate(l.Plan); err != nil {
		return nil, err
	}
	var made []fault.Fault
	err := l.changeFaults(func(all []fault.Fault) ([]fault.Fault, error) {
		fresh, err := l.roles(f)
		if err != nil {
			return all, err
		}
		for _, one := range fresh {
			one.ID, one.Since = nextID(all), time.Now().Round(time.Millisecond)
			if err := l.bringAbout(ctx, one, append(all, one)); err != nil {
				return all, err
			}
			all, made = append(all, one), append(made, one)
		}
		return all, nil
	})
	return made, err
}

// roles spreads a fault of a machine's processes over those that run.
func (l *Lab) roles(f fault.Fault) ([]fault.Fault, error) {
	if f.Role != "" || f.Kind != fault.Kill && f.Kind != fault.Pause {
		return []fault.Fault{f}, nil
	}
	m, err := l.Machine(f.From)
	if err != nil {
		return nil, err
	}
	tasks, err := l.tasks(m)
	if err != nil {
		return nil, err
	}
	var out []fault.Fault
	for _, t := range tasks {
		if p, err := l.process(m.Name, t.role); err == nil && p.Alive() {
			one := f
			one.Role = string(t.role)
			out = append(out, one)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no process of the lab runs on %s", f.From)
	}
	return out, nil
}

func (l *Lab) bringAbout(ctx context.Context, f fault.Fault, all []fault.Fault) error {
	switch f.Kind {
	case fault.Kill:
		return l.Kill(ctx, f.From, Role(f.Role), syscall.SIGKILL)
	case fault.Pause:
		return l.Kill(ctx, f.From, Role(f.Role), syscall.SIGSTOP)
	}
	return l.losePackets(all)
}

// Heal undoes the faults that match, all of them when match is nil, and returns
// them: packets pass, what was stopped goes on, what was killed is started again.
func (l *Lab) Heal(ctx context.Context, match func(fault.Fault) bool) ([]fault.Fault, error) {
	var healed []fault.Fault
	err := l.changeFaults(func(all []fault.Fault) ([]fault.Fault, error) {
		var left []fault.Fault
		for _, f := range all {
			if match == nil || match(f) {
				healed = append(healed, f)
				continue
			}
			left = append(left, f)
		}
		// Packets first: what is started again may need them.
		errs := []error{l.losePackets(left)}
		for _, f := range healed {
			if err := l.revive(ctx, f); err != nil {
				errs, left = append(errs, err), append(left, f)
			}
		}
		return left, errors.Join(errs...)
	})
	return healed, err
}

// revive undoes what a fault did to a process.
func (l *Lab) revive(ctx context.Context, f fault.Fault) error {
	if f.Kind != fault.Kill && f.Kind != fault.Pause {
		return nil
	}
	p, err := l.process(f.From, Role(f.Role))
	if err != nil {
		return err
	}
	switch {
	case f.Kind == fault.Kill && !p.Alive():
		return l.Start(ctx, f.From, Role(f.Role))
	case f.Kind == fault.Pause && p.Alive():
		return l.Kill(ctx, f.From, Role(f.Role), syscall.SIGCONT)
	}
	return nil // somebody else started it, or killed it, meanwhile
}

// losePackets makes every machine lose what the faults say, and nothing else.
func (l *Lab) losePackets(all []fault.Fault) error {
	want, err := fault.Rulesets(l.Plan, all)
	if err != nil {
		return err
	}
	for _, m := range l.Machines() {
		rules := want[m.Name]
		if rules == "" {
			if !l.loses(m) {
				continue
			}
			rules = fault.NoFaults
		}
		if err := l.nft(m, rules); err != nil {
			return fmt.Errorf("telling %s which packets to lose: %w", m.Name, err)
		}
		if err := l.noteLoss(m, want[m.Name] != ""); err != nil {
			return err
		}
	}
	return nil
}

// lossFile is there while a machine may have rules.
func (l *Lab) lossFile(m plan.Machine) string { return filepath.Join(l.machineDir(m.Name), "loses") }

func (l *Lab) loses(m plan.Machine) bool {
	_, err := os.Stat(l.lossFile(m))
	return err == nil
}

func (l *Lab) noteLoss(m plan.Machine, loses bool) error {
	if loses {
		return os.WriteFile(l.lossFile(m), nil, 0o644)
	}
	if err := os.Remove(l.lossFile(m)); !missing(err) {
		return err
	}
	return nil
}

// nft loads a ruleset on a machine.
func (l *Lab) nft(m plan.Machine, rules string) error {
	c, err := l.Command(m.Name, []string{"nft", "-f", "-"})
	if err != nil {
		return fmt.Errorf("%w: apt-get install nftables", err)
	}
	var said bytes.Buffer
	if err := c.Run(strings.NewReader(rules), &said, &said); err != nil {
		return fmt.Errorf("running nft: %w: %s", err, strings.TrimSpace(said.String()))
	}
	return nil
}

// changeFaults reads the faults, lets change work on them and writes what it
// returns, also beside an error; one process at a time does.
func (l *Lab) changeFaults(change func([]fault.Fault) ([]fault.Fault, error)) error {
	unlock, err := l.changing()
	if err != nil {
		return err
	}
	defer unlock()
	all, err := l.Faults()
	if err != nil {
		return err
	}
	all, failed := change(slices.Clone(all))
	raw, err := json.MarshalIndent(all, "", "  ")
	if err == nil {
		err = writeFile(l.faultsFile(), raw)
	}
	if err != nil {
		err = fmt.Errorf("noting the faults of lab %s: %w", l.Lab, err)
	}
	return errors.Join(failed, err)
}

func nextID(all []fault.Fault) int {
	id := 1
	for _, f := range all {
		id = max(id, f.ID+1)
	}
	return id
}
