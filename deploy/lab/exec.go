package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"tombolo.io/tombolo/deploy/lab/objects"
	"tombolo.io/tombolo/deploy/lab/pki"
	"tombolo.io/tombolo/deploy/lab/plan"
	"tombolo.io/tombolo/deploy/lab/sandbox"
)

// Exec replaces this process with a command on a machine of the lab: in its
// namespace and its cgroup. On a node our own commands find that node's
// processes, maps and etcd by their environment. It returns only on an error.
func (l *Lab) Exec(machine string, args []string) error {
	c, err := l.Command(machine, args)
	if err != nil {
		return err
	}
	c.Dir = "" // the command stays in the directory of the caller
	return c.Become()
}

// Command places a command on a machine, for who wants to run it as a child.
func (l *Lab) Command(machine string, args []string) (sandbox.Command, error) {
	m, err := l.Machine(machine)
	if err != nil {
		return sandbox.Command{}, err
	}
	env, err := l.env(m)
	if err != nil {
		return sandbox.Command{}, err
	}
	return l.command(m, args, env)
}

// lookPath finds a program; tombolo is the one of the lab.
func (l *Lab) lookPath(program string) (string, error) {
	if program == "tombolo" {
		return l.binary, nil
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("finding the command: %w", err)
	}
	return filepath.Abs(path)
}

// env is the environment of commands on a machine.
func (l *Lab) env(m plan.Machine) ([]string, error) {
	out := plainEnv(os.Environ())
	if m.Kind != plan.KindNode {
		return out, nil
	}
	c, ok := l.Cluster(m.Cluster)
	if !ok {
		return nil, l.noCluster(m.Cluster)
	}
	groups, err := l.cgroups()
	if err != nil {
		return nil, err
	}
	user, certs := pki.Node, l.Certificates(c.Name)
	if m.Name == c.Nodes[0].Name {
		user = pki.Root // where the API server runs an operator may do what it may
	}
	return append(out,
		"TOMBOLO_RUN_DIR="+l.RunDir(m.Name),
		"TOMBOLO_BPFFS="+l.BPFFS(m.Name),
		"TOMBOLO_CGROUP="+filepath.Join(groups, plan.NodeCgroup(m.Name)),
		"TOMBOLO_ETCD_ENDPOINTS="+objects.EtcdURL(c),
		"TOMBOLO_TLS_CA="+certs.CA(), "TOMBOLO_TLS_CERT="+certs.Cert(user), "TOMBOLO_TLS_KEY="+certs.Key(user),
	), nil
}
