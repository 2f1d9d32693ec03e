package lab

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"tombolo.io/tombolo/deploy/crds"
	"tombolo.io/tombolo/deploy/lab/objects"
	"tombolo.io/tombolo/deploy/lab/plan"
	"tombolo.io/tombolo/deploy/rbac"
)

// With Kubernetes a pod is an object first: it is bound to a node, whose kubelet
// runs it and writes it into the plan.

// bindPods gives every cluster its first objects, and returns when the kubelets
// run the pods among them.
func (l *Lab) bindPods(ctx context.Context) (string, error) {
	work, ctx := errgroup.WithContext(ctx)
	for _, c := range l.Clusters {
		work.Go(func() error { return l.applyFirst(ctx, c) })
	}
	if err := work.Wait(); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d objects that kubelets run", l.Config.Clusters*l.Config.Nodes*l.Config.Pods), l.reload()
}

// applyFirst gives a cluster the kinds of ours, the rights of its API server and
// what every cluster has from the start.
func (l *Lab) applyFirst(ctx context.Context, c plan.Cluster) error {
	raw, err := objects.Kubernetes(l.Plan, c, l.Certificates)
	if err != nil {
		return err
	}
	apply := []string{"apply", "--server-side", "--force-conflicts", "-f", "-"}
	for _, step := range []struct {
		stdin []byte
		args  []string
	}{
		{crds.All(), apply},
		{crds.All(), []string{"wait", "--for=condition=Established", "--timeout=30s", "-f", "-"}},
		{rbac.APIServer(), apply},
		{objects.DemoNamespace(), apply},
		// Pods are admitted once their service account is there.
		{nil, []string{"wait", "--for=create", "--timeout=30s", "serviceaccount/default", "-n", objects.Namespace}},
		{raw, apply},
		{nil, []string{"wait", "--for=condition=Ready", "--timeout=60s", "pods", "--all", "-n", objects.Namespace}},
	} {
		if _, err := l.Kubectl(ctx, c.Name, step.stdin, step.args...); err != nil {
			return err
		}
	}
	return nil
}

// addBoundPod binds one more pod to a node and returns when it is ready.
func (l *Lab) addBoundPod(ctx context.Context, node, name, app string) (plan.Pod, error) {
	if err := l.reload(); err != nil {
		return plan.Pod{}, err
	}
	likely, err := l.Plan.AddPod(node, name, app, "") // its name; the plan is the kubelet's
	if err != nil {
		return plan.Pod{}, err
	}
	m, err := l.Machine(likely.Name)
	if err != nil {
		return plan.Pod{}, err
	}
	raw, err := objects.BoundPod(node, likely.Name, likely.App)
	if err != nil {
		return plan.Pod{}, err
	}
	if _, err := l.Apply(m.Cluster, raw); err != nil {
		return plan.Pod{}, err
	}
	if _, err := l.Kubectl(ctx, m.Cluster, nil, "wait", "--for=condition=Ready", "--timeout=30s", "pod/"+likely.Name, "-n", objects.Namespace); err != nil {
		return plan.Pod{}, err
	}
	if err := l.reload(); err != nil {
		return plan.Pod{}, err
	}
	return l.bound(node, objects.Namespace+"/"+likely.Name)
}

// bound returns the pod of a node that an object is.
func (l *Lab) bound(node, object string) (plan.Pod, error) {
	n, err := l.node(node)
	if err != nil {
		return plan.Pod{}, err
	}
	for _, pod := range n.Pods {
		if pod.Object == object {
			return pod, nil
		}
	}
	return plan.Pod{}, fmt.Errorf("node %s runs no pod %s", node, object)
}

// removeBoundPod deletes the object of a pod, and returns when both are gone.
func (l *Lab) removeBoundPod(ctx context.Context, name string) error {
	if err := l.reload(); err != nil {
		return err
	}
	m, err := l.Machine(name)
	if err != nil {
		return err
	}
	pod, _, err := l.Plan.RemovePod(name)
	if err != nil {
		return err
	}
	namespace, object, _ := strings.Cut(pod.Object, "/")
	if _, err := l.Kubectl(ctx, m.Cluster, nil, "delete", "pod", object, "-n", namespace, "--timeout=30s"); err != nil {
		return err
	}
	return l.reload()
}
