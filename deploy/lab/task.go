package lab

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"

	"tombolo.io/tombolo/deploy/lab/objects"
	"tombolo.io/tombolo/deploy/lab/pki"
	"tombolo.io/tombolo/deploy/lab/plan"
	"tombolo.io/tombolo/deploy/lab/router"
	"tombolo.io/tombolo/deploy/lab/sandbox"
	"tombolo.io/tombolo/internal/control"
	"tombolo.io/tombolo/internal/kube"
)

// Role is what a process does on its machine; it is unique there.
type Role string

// The roles of a lab's own processes; those of a router are named after its
// daemons.
const (
	Responder Role = "responder"
	APIServer Role = "apiserver"
	Agent     Role = "agent"
	Speaker   Role = "speaker"
	// Etcd is a cluster's store in a lab whose API servers have none in them.
	Etcd Role = "etcd"
)

// The roles of a lab with Kubernetes: a kubelet on each node, the others on the
// first one of a cluster.
const (
	KubeEtcd        Role = "kube-etcd"
	KubeAPIServer   Role = kube.APIServer
	KubeControllers Role = kube.Controllers
	Kubelet         Role = "kubelet"
)

// task is a process that belongs to the lab, running or not.
type task struct {
	machine plan.Machine
	role    Role
	args    []string
	// ready asks the process itself, once, whether it does its work.
	ready func(context.Context) error
}

// String names the task for people.
func (t task) String() string { return t.machine.Name + " " + string(t.role) }

// tasks returns the processes of a machine in the order of their start. The
// same plan and binary give the same tasks, so that what is started again is
// what was started first.
func (l *Lab) tasks(m plan.Machine) ([]task, error) {
	switch m.Kind {
	case plan.KindPod:
		return []task{l.responder(m)}, nil
	case plan.KindRouter:
		return l.routerTasks(m)
	case plan.KindNode:
		return l.nodeTasks(m)
	}
	return nil, nil
}

func (l *Lab) responder(m plan.Machine) task {
	target := netip.AddrPortFrom(m.Addresses[0].IPv4, plan.Port)
	return task{machine: m, role: Responder,
		args: []string{l.binary, "responder", "--cluster", m.Cluster, "--node", m.Node, "--pod", m.Name,
			"--port", fmt.Sprint(plan.Port)},
		ready: func(ctx context.Context) error {
			return sandbox.In(l.Namespace(m.Name), func() error { return answers(ctx, target) })
		}}
}

// answers asks a responder once, on the thread of the caller.
func answers(ctx context.Context, target netip.AddrPort) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", target.String())
	if err != nil {
		return err
	}
	return conn.Close()
}

func (l *Lab) nodeTasks(m plan.Machine) ([]task, error) {
	c, ok := l.Cluster(m.Cluster)
	if !ok {
		return nil, l.noCluster(m.Cluster)
	}
	groups, err := l.cgroups()
	if err != nil {
		return nil, err
	}
	out, err := l.kubeTasks(m, c)
	if err != nil {
		return nil, err
	}
	if m.Name == c.Nodes[0].Name {
		if l.ExternalEtcd {
			out = append(out, l.etcd(m, c))
		}
		out = append(out, l.role(m, APIServer, l.apiserverFlags(c)))
	}
	reader := append([]string{"--etcd-endpoints", objects.EtcdURL(c)}, l.tls(c, pki.Node)...)
	agent := append([]string{"--maps", cmp.Or(l.Maps, "small"), "--bpffs", l.BPFFS(m.Name), "--cgroup", filepath.Join(groups, plan.NodeCgroup(m.Name)),
		"--pods", l.podsDir(m.Name)}, reader...)
	return append(out, l.role(m, Agent, agent), l.role(m, Speaker, reader)), nil
}

func (l *Lab) apiserverFlags(c plan.Cluster) []string {
	certs := l.Certificates(c.Name)
	from := []string{"--manifests", l.Manifests(c.Name)}
	if l.Kubernetes != "" {
		from = []string{"--source", "kubernetes", "--kubeconfig", l.plane(c).Access(tombolo).Kubeconfig}
	}
	store := []string{"--data-dir", l.dataDir(c), "--etcd-listen", objects.EtcdURL(c),
		"--etcd-server-cert", certs.ServerCert(), "--etcd-server-key", certs.ServerKey()}
	if l.ExternalEtcd {
		store = []string{"--etcd-endpoints", objects.EtcdURL(c)}
	}
	return slices.Concat(from, store, []string{
		"--cluster-name", c.Name, "--cluster-id", fmt.Sprint(c.ID),
		"--pod-cidr", list(c.PodCIDR), "--node-cidr", list(c.NodeCIDR), "--service-cidr", list(c.ServiceCIDR),
	}, l.tls(c, pki.Root))
}

// etcd is a cluster's store in a process of its own.
func (l *Lab) etcd(m plan.Machine, c plan.Cluster) task {
	certs := l.Certificates(c.Name)
	return l.role(m, Etcd, []string{"--data-dir", l.dataDir(c), "--listen", objects.EtcdURL(c),
		"--tls-ca", certs.CA(), "--tls-cert", certs.ServerCert(), "--tls-key", certs.ServerKey()})
}

// store is the role of the process that a cluster's store is in.
func (l *Lab) store() Role {
	if l.ExternalEtcd {
		return Etcd
	}
	return APIServer
}

func (l *Lab) tls(c plan.Cluster, user string) []string {
	certs := l.Certificates(c.Name)
	return []string{"--tls-ca", certs.CA(), "--tls-cert", certs.Cert(user), "--tls-key", certs.Key(user)}
}

func list(n plan.Nets) string { return n.IPv4.String() + "," + n.IPv6.String() }

func (l *Lab) role(m plan.Machine, r Role, flags []string) task {
	args := append([]string{l.binary, string(r), "--node-name", m.Name, "--run-dir", l.RunDir(m.Name)}, flags...)
	client := control.NewClient(l.RunDir(m.Name), string(r))
	return task{machine: m, role: r, args: args, ready: func(ctx context.Context) error {
		_, err := client.Raw(ctx, "/readyz")
		return err
	}}
}

// routerTasks are the daemons of a router's implementation.
func (l *Lab) routerTasks(m plan.Machine) ([]task, error) {
	setup, err := l.routerSetup(m)
	if err != nil {
		return nil, err
	}
	var out []task
	for _, d := range setup.Daemons {
		if router.Kind(l.Router) == router.Builtin {
			d.Args[0] = l.binary
		}
		out = append(out, task{machine: m, role: Role(d.Name), args: d.Args, ready: func(ctx context.Context) error {
			var dialer net.Dialer
			conn, err := dialer.DialContext(ctx, "unix", d.Socket)
			if err != nil {
				return err
			}
			return conn.Close()
		}})
	}
	return out, nil
}

// routerSetup is a router as package router wants it told. The router
// originates the networks that are on its links; pods' prefixes it can only
// have from the nodes.
func (l *Lab) routerSetup(m plan.Machine) (router.Setup, error) {
	for i, c := range l.Clusters {
		if c.Router.Name != m.Name {
			continue
		}
		config := router.Config{
			Name: c.Router.Name, Dir: l.RunDir(c.Router.Name),
			ASN: c.Router.ASN, ID: c.Router.Addresses.IPv4,
			Nodes: c.NodeCIDR.List(), NodeASN: c.ASN, Password: l.Password,
			Networks: append(c.NodeCIDR.List(), plan.ClientNet(i+1).List()...),
		}
		for _, nb := range c.Router.Neighbors {
			for i, remote := range nb.Remote.List() {
				config.Links = append(config.Links, router.Link{ASN: nb.ASN, Local: nb.Local.List()[i], Remote: remote})
			}
		}
		return config.Setup(router.Kind(l.Router))
	}
	return router.Setup{}, fmt.Errorf("lab %s has no router %s", l.Lab, m.Name)
}
