package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/deploy/lab/pki"
	"tombolo.io/tombolo/internal/program"
)

const (
	kubeNodes   = 5_000
	kubeChanges = 100
)

// benchKubernetes measures a cluster of which all is in a Kubernetes API – 10,000
// services, 100,000 endpoints, 5,000 nodes – and an agent of another cluster.
func benchKubernetes(r *Report) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	k, err := newKubernetes(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.close()) }()
	if err := k.fill(ctx, manyServices, backendsEach, kubeNodes); err != nil {
		return err
	}
	if err := k.start(ctx); err != nil {
		return err
	}
	m, err := newMeshOf(ctx, k)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	if err := m.startWest(ctx); err != nil {
		return err
	}
	start := time.Now()
	east, err := m.startEast(ctx)
	if err != nil {
		return err
	}
	if err := m.await(ctx, manyServices*backendsEach); err != nil {
		return err
	}
	r.Below("kubernetes_start_to_remote_maps_100000_endpoints", time.Since(start).Seconds(), "s", 15)
	if err := awaitReady(ctx, m.dir("east"), "apiserver"); err != nil {
		return err
	}
	spent, err := cpuTime(east.Process.Pid)
	if err != nil {
		return err
	}
	r.State("kubernetes_start_cpu_of_apiserver", spent.Seconds(), "s")
	memory, err := anonymousMemory(east.Process.Pid)
	if err != nil {
		return err
	}
	r.Below("kubernetes_memory_of_apiserver", memory, "MiB", 500)
	took, err := m.change(ctx)
	if err != nil {
		return err
	}
	r.Below("kubernetes_readiness_to_remote_map_median", ms(median(took)), "ms", 25)
	r.Below("kubernetes_readiness_to_remote_map_p99", ms(quantile(took, 0.99)), "ms", 100)
	return nil
}

// meshOf is a mesh of two clusters on loopback: east, whose objects are in a
// Kubernetes, and west, which defines the same services and has an agent.
type meshOf struct {
	kube   *kubernetes
	place  *place
	binary string
	// etcd are the URLs of the clusters' stores.
	etcd      map[string]string
	processes []*exec.Cmd
}

func newMeshOf(ctx context.Context, k *kubernetes) (m *meshOf, err error) {
	m = &meshOf{kube: k, etcd: map[string]string{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.close())
		}
	}()
	if m.place, err = newPlace(bpf.DefaultSizes()); err != nil {
		return m, err
	}
	m.binary = filepath.Join(m.place.dir, "tombolo")
	if err := program.Build(ctx, m.binary); err != nil {
		return m, err
	}
	for _, cluster := range []string{"east", "west"} {
		url, err := freeURL()
		if err != nil {
			return m, err
		}
		m.etcd[cluster] = strings.Replace(url, "http://", "https://", 1)
		if err := pki.Issue(m.certs(cluster), cluster, []netip.Addr{netip.MustParseAddr("127.0.0.1")}); err != nil {
			return m, err
		}
	}
	return m, nil
}

func (m *meshOf) dir(name string) string       { return filepath.Join(m.place.dir, name) }
func (m *meshOf) certs(cluster string) pki.Dir { return pki.Dir(m.dir("pki-" + cluster)) }

func (m *meshOf) close() error {
	for _, p := range m.processes {
		p.Process.Kill()
		p.Wait()
	}
	if m.place == nil {
		return nil
	}
	return m.place.remove()
}

// start starts a role of a cluster.
func (m *meshOf) start(role, cluster string, args ...string) (*exec.Cmd, error) {
	if err := os.MkdirAll(m.dir(cluster), 0o700); err != nil {
		return nil, err
	}
	user := pki.Root
	if role == "agent" {
		user = pki.Node
	}
	certs := m.certs(cluster)
	args = append([]string{role, "--node-name", cluster + "-1", "--run-dir", m.dir(cluster), "--log-level", "error",
		"--tls-ca", certs.CA(), "--tls-cert", certs.Cert(user), "--tls-key", certs.Key(user)}, args...)
	cmd := exec.Command(m.binary, args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s of %s: %w", role, cluster, err)
	}
	m.processes = append(m.processes, cmd)
	return cmd, nil
}

func (m *meshOf) apiserver(cluster, id, pods, nodes string, args ...string) (*exec.Cmd, error) {
	certs := m.certs(cluster)
	return m.start("apiserver", cluster, append([]string{
		"--cluster-name", cluster, "--cluster-id", id, "--pod-cidr", pods, "--node-cidr", nodes, "--service-cidr", "10.96.0.0/12",
		"--data-dir", m.dir(cluster + "-etcd"), "--etcd-listen", m.etcd[cluster],
		"--etcd-server-cert", certs.ServerCert(), "--etcd-server-key", certs.ServerKey(),
	}, args...)...)
}

func (m *meshOf) startEast(ctx context.Context) (*exec.Cmd, error) {
	return m.apiserver("east", "1", "10.128.0.0/9", "172.20.0.0/16", "--source", "kubernetes", "--kubeconfig", m.kube.plane.Access(kubeAdmin).Kubeconfig)
}

// startWest starts a cluster that has the services and no endpoints, and its
// agent, and waits for both.
func (m *meshOf) startWest(ctx context.Context) error {
	manifests := m.dir("manifests")
	if err := os.MkdirAll(manifests, 0o700); err != nil {
		return err
	}
	var text strings.Builder
	certs := m.certs("east")
	fmt.Fprintf(&text, "apiVersion: tombolo.io/v1alpha1\nkind: ClusterPeer\nmetadata: {name: east}\nspec: {endpoints: [%q], tls: {caFile: %q, certFile: %q, keyFile: %q}}\n",
		m.etcd["east"], certs.CA(), certs.Cert(pki.Peer), certs.Key(pki.Peer))
	for i := range manyServices {
		fmt.Fprintf(&text, "---\napiVersion: v1\nkind: Service\nmetadata: {name: service-%d, namespace: bench, annotations: {tombolo.io/global: \"true\"}}\nspec: {clusterIP: %s, ports: [{port: 80}]}\n",
			i, nth(netip.MustParseAddr("10.96.0.0"), i+1))
	}
	if err := os.WriteFile(filepath.Join(manifests, "all.yaml"), []byte(text.String()), 0o600); err != nil {
		return err
	}
	if _, err := m.apiserver("west", "2", "10.1.0.0/16", "172.21.0.0/16", "--manifests", manifests); err != nil {
		return err
	}
	if err := awaitReady(ctx, m.dir("west"), "apiserver"); err != nil {
		return err
	}
	if _, err := m.start("agent", "west", "--etcd-endpoints", m.etcd["west"], "--bpffs", m.place.config.BPFFS, "--cgroup", m.place.config.Cgroup); err != nil {
		return err
	}
	return awaitReady(ctx, m.dir("west"), "agent")
}

// await waits until the agent's maps have so many backends to which new
// connections are led, and every service has a table of them.
func (m *meshOf) await(ctx context.Context, backends int) error {
	maps, err := bpf.Look(m.place.config.BPFFS)
	if err != nil {
		return err
	}
	defer maps.Close()
	for {
		active, served := 0, 0
		for number := uint32(1); number < maps.Backends.Len(); number++ {
			if maps.Backends.Read(number).State == bpf.Active {
				active++
			}
		}
		for service := uint32(1); service < maps.Services.Len() && active >= backends; service++ {
			if slots := maps.Slots.Read(maps.Services.Read(service).Primary); len(slots) > 0 && maps.Backends.Read(slots[0]).Service == service {
				served++
			}
		}
		if active >= backends && served >= manyServices {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %d backends in the maps of west: %d are there, and %d services have some: %w", backends, active, served, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// change makes an endpoint unready and ready again, and returns how long each
// change took, from the request to the API until it was seen in west's maps.
func (m *meshOf) change(ctx context.Context) (took []time.Duration, err error) {
	west, err := lookFor(m.place.config.BPFFS, nth(netip.MustParseAddr("10.128.0.0"), 0))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, west.maps.Close()) }()
	for i := range kubeChanges {
		ready := i%2 == 1
		patch := fmt.Appendf(nil, `[{"op": "replace", "path": "/endpoints/0/conditions/ready", "value": %v}]`, ready)
		start := time.Now()
		if err := m.kube.ask(ctx, "PATCH", slicesAt+"/service-0-a", "application/json-patch+json", patch); err != nil {
			return nil, err
		}
		for west.selects() != ready {
			if ctx.Err() != nil {
				return nil, fmt.Errorf("change %d is not in the maps: %w", i, ctx.Err())
			}
			time.Sleep(endpointPoll)
		}
		took = append(took, time.Since(start))
		time.Sleep(endpointPause)
	}
	return took, nil
}
