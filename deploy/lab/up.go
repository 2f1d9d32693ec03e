package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"time"

	"tombolo.io/tombolo/deploy/lab/plan"
	"tombolo.io/tombolo/deploy/lab/router"
	"tombolo.io/tombolo/deploy/lab/sandbox"
)

// Progress is told of each stage of an Up when it has ended.
type Progress func(stage, what string, took time.Duration)

// Up brings the lab up, and returns when every process is ready. What a lab of
// this name left behind half is removed first; one that is up as planned is left as it
// is, once all of it is ready, and one that is up otherwise is an error. When Up fails
// what it made stays, for whoever wants to look, until Down or the next Up.
func (l *Lab) Up(ctx context.Context, progress Progress) error {
	if err := errors.Join(router.Kind(l.Router).Installed(), l.kubernetesBuilt()); err != nil {
		return err
	}
	lock, err := take(l.base, l.Lab)
	if err != nil {
		return err
	}
	defer lock.release()
	done, err := l.clear(ctx, progress)
	if done || err != nil {
		return err
	}
	if err := l.save(); err != nil {
		return err
	}
	if err := perform(ctx, l.stages(), progress); err != nil {
		return err
	}
	if err := os.WriteFile(l.upFile(), nil, 0o644); err != nil {
		return fmt.Errorf("noting that the lab is up: %w", err)
	}
	return nil
}

// clear makes way for a new lab; done says that it is there already.
func (l *Lab) clear(ctx context.Context, progress Progress) (done bool, err error) {
	began := time.Now()
	old, err := Load(l.base, l.binary, l.Lab)
	if err == nil && old.whole() {
		if !reflect.DeepEqual(old.Config, l.Config) {
			return false, fmt.Errorf("lab %s is up with %s; tombolo lab down --name %[1]s first", l.Lab, describe(old.Config))
		}
		if err := old.awaitReady(ctx); err != nil {
			return false, fmt.Errorf("lab %s is up, and not in order: %w", l.Lab, err)
		}
		progress("up", "already: nothing to do", time.Since(began))
		return true, nil
	}
	left, err := remnants(l.base, l.Lab)
	if err != nil || !left {
		return false, err
	}
	if err := sweep(ctx, l.base, l.Lab); err != nil {
		return false, fmt.Errorf("removing what lab %s left behind: %w", l.Lab, err)
	}
	progress("cleared", "what an earlier lab left behind", time.Since(began))
	return false, nil
}

// whole says whether the lab came up and every namespace and process is there.
func (l *Lab) whole() bool {
	if _, err := os.Stat(l.upFile()); err != nil {
		return false
	}
	names, err := sandbox.Namespaces(plan.Prefix(l.Lab))
	if err != nil || len(names) != len(l.Machines()) {
		return false
	}
	s, err := l.Status()
	return err == nil && len(s.Dead()) == 0
}

type stage struct {
	name string
	do   func(context.Context) (what string, err error)
}

func perform(ctx context.Context, stages []stage, progress Progress) error {
	for _, s := range stages {
		began := time.Now()
		what, err := s.do(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		progress(s.name, what, time.Since(began))
	}
	return nil
}

func (l *Lab) stages() []stage {
	kinds := map[plan.Kind][]plan.Machine{}
	for _, m := range l.Machines() {
		kinds[m.Kind] = append(kinds[m.Kind], m)
	}
	run := func(kind plan.Kind, what string, sequential bool, roles ...Role) func(context.Context) (string, error) {
		return func(ctx context.Context) (string, error) {
			n, err := l.startAll(ctx, kinds[kind], sequential, roles...)
			return fmt.Sprintf("%d %s ready", n, what), err
		}
	}
	pods := stage{"pods", func(ctx context.Context) (string, error) {
		what, err := run(plan.KindPod, "responders", false)(ctx)
		return what, errors.Join(err, l.notePods())
	}}
	if l.Kubernetes != "" {
		pods = stage{"pods", l.bindPods}
	}
	all := []stage{
		{"machines", func(ctx context.Context) (string, error) {
			return fmt.Sprintf("%d namespaces, %d wires", len(l.Machines()), len(l.Wires())), errors.Join(l.makeMachines(ctx), l.wire())
		}},
		{"objects", func(ctx context.Context) (string, error) {
			return "certificates and manifests of " + describe(l.Config), l.writeClusters(ctx)
		}},
		pods,
		{"routers", func(ctx context.Context) (string, error) {
			if err := l.writeRouters(kinds[plan.KindRouter]); err != nil {
				return "", err
			}
			return run(plan.KindRouter, "processes of "+l.Router, true)(ctx)
		}},
		{"clusters", run(plan.KindNode, "API servers, agents and speakers", false, APIServer, Agent, Speaker)},
		{"routes", func(ctx context.Context) (string, error) {
			return "all pod and node networks in the kernel of every router", l.awaitRoutes(ctx)
		}},
		{"mesh", func(ctx context.Context) (string, error) {
			return "demo/echo has the pods of all clusters in the maps of every node", l.awaitMesh(ctx)
		}},
	}
	if l.ExternalEtcd {
		all = slices.Insert(all, 2, stage{"stores", run(plan.KindNode, "etcds", false, Etcd)})
	}
	if l.Kubernetes == "" {
		return all
	}
	return slices.Insert(all, 2,
		stage{"planes", run(plan.KindNode, "processes of control planes", true, KubeEtcd, KubeAPIServer, KubeControllers)},
		stage{"kubelets", run(plan.KindNode, "kubelets", false, Kubelet)})
}

func (l *Lab) writeRouters(routers []plan.Machine) error {
	for _, m := range routers {
		setup, err := l.routerSetup(m)
		if err != nil {
			return err
		}
		if err := setup.Write(); err != nil {
			return err
		}
	}
	return nil
}

// describe says in a few words how large a lab is.
func describe(c plan.Config) string {
	text := fmt.Sprintf("%d clusters of %d nodes of %d pods, router %s over %s", c.Clusters, c.Nodes, c.Pods, c.Router, cmp.Or(c.Family, "ipv4"))
	if c.Kubernetes != "" {
		text += ", with Kubernetes"
	}
	if c.ExternalEtcd {
		text += ", etcd apart"
	}
	return text
}
