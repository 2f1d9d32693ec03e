package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/deploy/lab/objects"
	"tombolo.io/tombolo/deploy/lab/pki"
	"tombolo.io/tombolo/deploy/lab/plan"
	"tombolo.io/tombolo/deploy/lab/sandbox"
)

// Kernel parameters, set in a namespace before its first device: what a device
// takes over from "default" it takes when it is made.
var (
	everywhere = []string{
		"net.ipv6.conf.all.disable_ipv6=0", "net.ipv6.conf.default.disable_ipv6=0",
		"net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0",
		"net.ipv6.conf.default.accept_ra=0",
		"net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0",
		// Packets between two nodes pass their router by one and the same
		// device; the lab wants them to, since pods' routes are there.
		"net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.default.send_redirects=0",
		"net.ipv4.conf.all.accept_redirects=0", "net.ipv4.conf.default.accept_redirects=0",
		"net.ipv6.conf.all.accept_redirects=0", "net.ipv6.conf.default.accept_redirects=0",
	}
	forwarding = []string{
		"net.ipv4.ip_forward=1",
		"net.ipv6.conf.all.forwarding=1",
		"net.ipv6.conf.default.forwarding=1",
		// Flows, not destinations, are spread over equal routes.
		"net.ipv4.fib_multipath_hash_policy=1", "net.ipv6.fib_multipath_hash_policy=1",
	}
)

// makeMachines makes the namespaces, cgroups, directories and mounts.
func (l *Lab) makeMachines(ctx context.Context) error {
	groups, err := l.cgroups()
	if err != nil {
		return err
	}
	work, _ := errgroup.WithContext(ctx)
	work.SetLimit(4)
	for _, m := range l.Machines() {
		work.Go(func() error { return l.makeMachine(m, filepath.Join(groups, m.Cgroup())) })
	}
	return work.Wait()
}

func (l *Lab) makeMachine(m plan.Machine, cgroup string) error {
	for _, dir := range []string{"run", "log"} {
		if err := os.MkdirAll(filepath.Join(l.machineDir(m.Name), dir), 0o755); err != nil {
			return fmt.Errorf("making the directories of %s: %w", m.Name, err)
		}
	}
	if err := sandbox.MakeCgroup(cgroup); err != nil {
		return err
	}
	if m.Kind == plan.KindNode {
		if err := sandbox.MountBPF(l.BPFFS(m.Name)); err != nil {
			return err
		}
	}
	return sandbox.CreateNamespace(l.Namespace(m.Name))
}

// wire makes the devices, addresses and routes.
func (l *Lab) wire() error {
	nets := map[string]*sandbox.Net{}
	defer func() {
		for _, n := range nets {
			n.Close()
		}
	}()
	for _, m := range l.Machines() {
		n, err := sandbox.OpenNet(l.Namespace(m.Name))
		if err != nil {
			return err
		}
		nets[m.Name] = n
		if err := prepare(n, m.Kind); err != nil {
			return err
		}
	}
	for _, w := range l.Wires() {
		if err := connect(nets, w); err != nil {
			return err
		}
	}
	for _, c := range l.Clusters {
		if err := addresses(nets[c.Router.Name], plan.Bridge, c.BridgeAddresses()); err != nil {
			return err
		}
	}
	return addRoutes(nets, l.Routes())
}

func addRoutes(nets map[string]*sandbox.Net, all []plan.Route) error {
	for _, r := range all {
		if err := nets[r.Machine].AddRoute(sandbox.Route{Prefix: r.Prefix, Device: r.Interface,
			Via: r.Via, Source: r.Source, OnLink: r.OnLink, Metric: r.Metric}); err != nil {
			return err
		}
	}
	return nil
}

func prepare(n *sandbox.Net, kind plan.Kind) error {
	settings := everywhere
	if kind == plan.KindNode || kind == plan.KindRouter {
		settings = append(settings[:len(settings):len(settings)], forwarding...)
	}
	if err := n.Sysctl(settings...); err != nil {
		return err
	}
	if err := n.Up("lo"); err != nil {
		return err
	}
	if kind == plan.KindRouter {
		return n.Bridge(plan.Bridge)
	}
	return nil
}

func connect(nets map[string]*sandbox.Net, w plan.Wire) error {
	if err := nets[w.A.Machine].Wire(w.A.Interface, nets[w.B.Machine], w.B.Interface); err != nil {
		return err
	}
	for _, e := range []plan.End{w.A, w.B} {
		n := nets[e.Machine]
		if e.Bridge != "" {
			if err := n.Enslave(e.Interface, e.Bridge); err != nil {
				return err
			}
		}
		if err := n.Up(e.Interface); err != nil {
			return err
		}
		if err := addresses(n, e.Interface, e.Addresses); err != nil {
			return err
		}
	}
	return nil
}

func addresses(n *sandbox.Net, device string, all []netip.Prefix) error {
	for _, p := range all {
		if err := n.Address(device, p); err != nil {
			return err
		}
	}
	return nil
}

// writeClusters writes what the processes of each cluster find when they start:
// certificates and objects.
func (l *Lab) writeClusters(ctx context.Context) error {
	boot, err := bpf.ThisBoot()
	if err != nil {
		return err
	}
	work, _ := errgroup.WithContext(ctx)
	for _, c := range l.Clusters {
		work.Go(func() error {
			for _, dir := range []string{"manifests", "staging", "etcd"} {
				if err := os.MkdirAll(filepath.Join(l.clusterDir(c.Name), dir), 0o700); err != nil {
					return fmt.Errorf("making the directories of %s: %w", c.Name, err)
				}
			}
			if l.Password != "" {
				if err := os.WriteFile(l.PasswordFile(c.Name), []byte(l.Password), 0o600); err != nil {
					return fmt.Errorf("writing the BGP password of %s: %w", c.Name, err)
				}
			}
			err := l.writeObjects(c, boot)
			return errors.Join(err, pki.Issue(l.Certificates(c.Name), c.Name, c.Nodes[0].Addresses.List()))
		})
	}
	return work.Wait()
}

// writeObjects writes the manifests of a cluster, or what the programs of its
// control plane read.
func (l *Lab) writeObjects(c plan.Cluster, boot bpf.BootID) error {
	if l.Kubernetes != "" {
		return l.writePlane(c)
	}
	raw, err := objects.Base(l.Plan, c, l.Certificates, boot.String())
	if err != nil {
		return err
	}
	_, err = l.Apply(c.Name, raw)
	return err
}
