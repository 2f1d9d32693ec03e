// Package kubetest gives tests a real Kubernetes control plane: kube-apiserver
// and, if wanted, kube-controller-manager, as `make kube` builds them, with an
// etcd of their own, RBAC and, if wanted, an audit log. It serves on loopback
// within a few seconds, needs no root, and everything of it goes with the test.
//
//	c := kubetest.New(t, kubetest.Config{})
//	c.Kubectl(manifest, "apply", "-f", "-")         // as the admin
//	config := clientcmd.BuildConfigFromFlags("", c.Admin().Kubeconfig)
//	user := c.Issue("system:serviceaccount:tombolo-system:apiserver")
//	...                                              // which may do nothing yet
//	c.Kill(); c.Start()                              // and what the source made of it
//	used := c.Requests("system:serviceaccount:…")     // with Config.Audit
//
// A control plane takes some 400 MB and five seconds of CPU to start: share one
// among subtests, each with a namespace of its own. Without the programs New
// fails the test and says what builds them. This package imports nothing of
// Kubernetes.
package kubetest

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tombolo.io/tombolo/internal/etcdtest"
	"tombolo.io/tombolo/internal/kube"
)

// Config says what a test wants.
type Config struct {
	// Controllers: endpoint slices are made, namespaces end, pods have service
	// accounts.
	Controllers bool
	// Audit keeps a log of all requests, which Requests reads.
	Audit bool
	// Services are the prefixes of ClusterIPs; 10.96.0.0/16 and fd00:96::/112
	// by default.
	Services []netip.Prefix
	// Flags are further ones of kube-apiserver.
	Flags []string
}

// Cluster is a control plane of a test. Its etcd may be stopped, started and
// compacted by the test.
type Cluster struct {
	kube.Plane
	Etcd *etcdtest.Store

	t                      testing.TB
	apiserver, controllers *process
}

// readyWithin bounds how long a control plane takes to be ready on a machine
// that does much else.
const readyWithin = 2 * time.Minute

// New starts a control plane and returns when it is ready.
func New(t testing.TB, cfg Config) *Cluster {
	t.Helper()
	listen, err := netip.ParseAddrPort(etcdtest.Address(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Services) == 0 {
		cfg.Services = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("fd00:96::/112")}
	}
	c := &Cluster{t: t, Etcd: etcdtest.New(t)}
	c.Plane = kube.Plane{Dir: t.TempDir(), Listen: listen, Etcd: c.Etcd.Config.Listen[0],
		Services: cfg.Services, Controllers: cfg.Controllers, Audit: cfg.Audit, Flags: cfg.Flags}
	c.must(c.Write())
	c.apiserver = c.process(kube.APIServer, c.APIServer())
	c.controllers = c.process(kube.Controllers, c.ControllerManager())
	t.Cleanup(func() { // before its etcd and its files go
		c.controllers.end(syscall.SIGKILL)
		c.apiserver.end(syscall.SIGKILL)
	})
	c.Start()
	return c
}

// Start starts what does not run, and returns when it is ready.
func (c *Cluster) Start() {
	c.t.Helper()
	c.apiserver.start()
	c.await("/readyz", c.apiserver)
	if !c.Plane.Controllers {
		return
	}
	c.controllers.start()
	c.await("/api/v1/namespaces/default/serviceaccounts/default", c.controllers)
}

// Stop ends kube-apiserver as an operator would, with SIGTERM and three seconds
// later SIGKILL, and returns when it is gone. Its controllers wait for it to come
// back.
func (c *Cluster) Stop() { c.apiserver.end(syscall.SIGTERM) }

// Kill ends kube-apiserver with SIGKILL, and returns when it is gone.
func (c *Cluster) Kill() { c.apiserver.end(syscall.SIGKILL) }

// Pause has kube-apiserver answer nobody until Resume.
func (c *Cluster) Pause() { c.apiserver.pause() }

// Resume ends a Pause.
func (c *Cluster) Resume() { c.apiserver.signal(syscall.SIGCONT) }

// Lose has the control plane come back without anything that it had stored.
func (c *Cluster) Lose() {
	c.t.Helper()
	c.Kill()
	c.Etcd.Stop()
	c.must(os.RemoveAll(c.Etcd.Config.Dir))
	c.Etcd.Start()
	c.Start()
}

// Admin may do all.
func (c *Cluster) Admin() kube.Access { return c.Access(kube.Admin) }

// Issue returns the access of a user, who may do what RBAC lets him.
func (c *Cluster) Issue(user string, groups ...string) kube.Access {
	c.t.Helper()
	a, err := c.Plane.Issue(user, groups...)
	c.must(err)
	return a
}

// Requests returns the requests of a user, or of all, from the audit log.
func (c *Cluster) Requests(users ...string) []kube.Request {
	c.t.Helper()
	all, err := c.Plane.Requests(users...)
	c.must(err)
	return all
}

// Kubectl runs kubectl as the admin and returns what it prints; that it
// succeeds is the test's condition.
func (c *Cluster) Kubectl(stdin string, args ...string) string {
	c.t.Helper()
	out, err := c.TryKubectl(stdin, args...)
	c.must(err)
	return out
}

// AwaitKubectl runs kubectl as the admin until what it prints holds want.
func (c *Cluster) AwaitKubectl(want string, args ...string) {
	c.t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		out, err := c.TryKubectl("", args...)
		if err == nil && strings.Contains(out, want) {
			return
		}
		select {
		case <-deadline:
			c.t.Fatalf("kubectl %v prints %q (%v), want %s; %s says:\n%s", args, out, err, want, c.controllers.name, c.controllers.tail())
		case <-tick.C:
		}
	}
}

// TryKubectl runs kubectl as the admin. An error holds what it printed to
// stderr, so what the API said.
func (c *Cluster) TryKubectl(stdin string, args ...string) (string, error) {
	path, err := program(kube.Kubectl)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(c.t.Context(), path, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Admin().Kubeconfig, "KUBECACHEDIR="+filepath.Join(c.Dir, "cache"))
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader([]byte(stdin)), &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("kubectl %v: %w: %s", args, err, stderr.String())
	}
	return string(out), nil
}

// await asks for a path until it is there.
func (c *Cluster) await(path string, p *process) {
	c.t.Helper()
	client, err := c.Admin().Client()
	c.must(err)
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := kube.Serves(ctx, client, c.URL()+path)
		if err == nil {
			return
		}
		select {
		case <-p.ended:
			c.t.Fatalf("%s ended before it was ready:\n%s", p.name, p.tail())
		case <-ctx.Done():
			c.t.Fatalf("%s is not ready after %v: %v:\n%s", p.name, readyWithin, err, p.tail())
		case <-tick.C:
		}
	}
}

func (c *Cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}
