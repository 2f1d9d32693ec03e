package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"

	"tombolo.io/tombolo/deploy/lab/plan"
	"tombolo.io/tombolo/deploy/lab/sandbox"
	"tombolo.io/tombolo/internal/kube"
)

// tombolo is the user that a cluster's API server is to kube-apiserver: the
// service account that it has in a real cluster.
const tombolo = "system:serviceaccount:tombolo:tombolo-apiserver"

// Ports of a control plane, on the first node of its cluster. Its etcd listens
// on loopback, which is the node's own.
const (
	kubePort     = 6443
	kubeEtcdPort = 2389
)

// plane is the control plane of a cluster.
func (l *Lab) plane(c plan.Cluster) kube.Plane {
	return kube.Plane{
		Dir:      filepath.Join(l.clusterDir(c.Name), "kube"),
		Listen:   netip.AddrPortFrom(c.Nodes[0].Addresses.IPv4, kubePort),
		Etcd:     kubeEtcdURL(),
		Services: c.ServiceCIDR.List(), Controllers: true, Audit: true,
	}
}

func kubeEtcdURL() string { return fmt.Sprintf("http://127.0.0.1:%d", kubeEtcdPort) }

// kubernetesBuilt says what a lab with Kubernetes lacks.
func (l *Lab) kubernetesBuilt() error {
	if l.Kubernetes == "" {
		return nil
	}
	var errs []error
	for _, name := range []string{kube.APIServer, kube.Controllers, kube.Kubectl} {
		_, err := kube.Program(l.Kubernetes, name)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// writePlane writes what the programs of a cluster's control plane read.
func (l *Lab) writePlane(c plan.Cluster) error {
	p := l.plane(c)
	if err := p.Write(); err != nil {
		return err
	}
	_, err := p.Issue(tombolo)
	return err
}

// kubeTasks are the processes of Kubernetes on a node, none without it.
func (l *Lab) kubeTasks(m plan.Machine, c plan.Cluster) ([]task, error) {
	if l.Kubernetes == "" {
		return nil, nil
	}
	var out []task
	if m.Name == c.Nodes[0].Name {
		var err error
		if out, err = l.planeTasks(m, c); err != nil {
			return nil, err
		}
	}
	return append(out, l.role(m, Kubelet, []string{"--lab", l.Lab, "--lab-dir", l.base,
		"--kubeconfig", l.plane(c).Access(kube.Admin).Kubeconfig})), nil
}

// planeTasks are the processes of a control plane in the order of their start.
func (l *Lab) planeTasks(m plan.Machine, c plan.Cluster) ([]task, error) {
	p := l.plane(c)
	client, err := l.kubeClient(m, p.Access(kube.Admin))
	if err != nil && !missing(err) { // its files are not written yet
		return nil, err
	}
	ask := func(path string) func(context.Context) error {
		return func(ctx context.Context) error { return kube.Serves(ctx, client, p.URL()+path) }
	}
	etcd := l.role(m, KubeEtcd, []string{"--data-dir", filepath.Join(p.Dir, "etcd"), "--listen", p.Etcd})
	return []task{etcd,
		{machine: m, role: KubeAPIServer, args: append([]string{filepath.Join(l.Kubernetes, kube.APIServer)}, p.APIServer()...), ready: ask("/readyz")},
		{machine: m, role: KubeControllers, args: append([]string{filepath.Join(l.Kubernetes, kube.Controllers)}, p.ControllerManager()...),
			ready: ask("/api/v1/namespaces/default/serviceaccounts/default")},
	}, nil
}

// kubeClient returns an HTTP client that dials from a machine.
func (l *Lab) kubeClient(m plan.Machine, a kube.Access) (*http.Client, error) {
	client, err := a.Client()
	if err != nil {
		return nil, err
	}
	client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		err = sandbox.In(l.Namespace(m.Name), func() error {
			var d net.Dialer
			conn, err = d.DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
	return client, nil
}

// Kubeconfig returns the path of an operator's kubeconfig. Its addresses are
// reachable from the cluster's nodes and pods, not from outside of the lab.
func (l *Lab) Kubeconfig(cluster string) (string, error) {
	c, ok := l.Cluster(cluster)
	if !ok {
		return "", l.noCluster(cluster)
	}
	if l.Kubernetes == "" {
		return "", fmt.Errorf("lab %s has no Kubernetes: tombolo lab up --kubernetes makes one that has", l.Lab)
	}
	return l.plane(c).Access(kube.Admin).Kubeconfig, nil
}

// kubectl places kubectl on the first node of a cluster, as the operator.
func (l *Lab) kubectl(cluster string, args []string) (sandbox.Command, error) {
	config, err := l.Kubeconfig(cluster)
	if err != nil {
		return sandbox.Command{}, err
	}
	c, _ := l.Cluster(cluster)
	command, err := l.Command(c.Nodes[0].Name, append([]string{filepath.Join(l.Kubernetes, kube.Kubectl)}, args...))
	command.Env = append(command.Env, "KUBECONFIG="+config, "KUBECACHEDIR="+filepath.Join(l.plane(c).Dir, "cache"))
	return command, err
}

// ExecKubectl replaces this process with kubectl. It returns only on an error.
func (l *Lab) ExecKubectl(cluster string, args []string) error {
	c, err := l.kubectl(cluster, args)
	if err != nil {
		return err
	}
	c.Dir = ""
	return c.Become()
}

// Kubectl runs kubectl and returns what it prints; an error holds what the API
// says.
func (l *Lab) Kubectl(ctx context.Context, cluster string, stdin []byte, args ...string) ([]byte, error) {
	command, err := l.kubectl(cluster, args)
	if err != nil {
		return nil, err
	}
	var out, said bytes.Buffer
	child, err := command.Child(bytes.NewReader(stdin), &out, &said)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { child.Process.Kill() })
	defer stop()
	if err := child.Wait(); err != nil {
		return out.Bytes(), fmt.Errorf("kubectl %s in %s: %w: %s", strings.Join(args, " "), cluster, err, strings.TrimSpace(said.String()))
	}
	return out.Bytes(), nil
}
