package lab

import (
	"tombolo.io/tombolo/deploy/lab/plan"
	"tombolo.io/tombolo/deploy/lab/sandbox"
)

// Status is a lab as it is now.
type Status struct {
	Lab      *Lab            `json:"plan"`
	Machines []MachineStatus `json:"machines"`
}

// MachineStatus is one machine and its processes.
type MachineStatus struct {
	plan.Machine
	Namespace string          `json:"namespace"`
	Manifests string          `json:"manifests,omitempty"`
	Processes []ProcessStatus `json:"processes"`
}

// ProcessStatus is one process that should run.
type ProcessStatus struct {
	Role Role `json:"role"`
	sandbox.Process
	// Alive is false for one that ended, and for one that never started.
	Alive bool     `json:"alive"`
	Args  []string `json:"args"`
	Log   string   `json:"log"`
}

// Status looks at every process of the lab.
func (l *Lab) Status() (Status, error) {
	s := Status{Lab: l}
	for _, m := range l.Machines() {
		ms := MachineStatus{Machine: m, Namespace: l.Namespace(m.Name)}
		if m.Cluster != "" {
			ms.Manifests = l.Manifests(m.Cluster)
		}
		tasks, err := l.tasks(m)
		if err != nil {
			return s, err
		}
		for _, t := range tasks {
			p, err := l.process(m.Name, t.role)
			if err != nil && !missing(err) {
				return s, err
			}
			ms.Processes = append(ms.Processes, ProcessStatus{
				Role: t.role, Process: p, Alive: err == nil && p.Alive(), Args: t.args, Log: l.Log(m.Name, t.role)})
		}
		s.Machines = append(s.Machines, ms)
	}
	return s, nil
}

// Dead names the processes that should run and do not, "machine role".
func (s Status) Dead() []string {
	var out []string
	for _, m := range s.Machines {
		for _, p := range m.Processes {
			if !p.Alive {
				out = append(out, m.Name+" "+string(p.Role))
			}
		}
	}
	return out
}
