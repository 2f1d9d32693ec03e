package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/deploy/lab/kubelet"
)

// RunKubelet plays the kubelet of a node until ctx ends; ready is called when it
// is registered. It runs in the node's namespace.
func (l *Lab) RunKubelet(ctx context.Context, node, kubeconfig string, ready func(), log *slog.Logger) error {
	n, err := l.node(node)
	if err != nil {
		return err
	}
	m, err := l.Machine(node)
	if err != nil {
		return err
	}
	boot, err := bpf.ThisBoot()
	if err != nil {
		return err
	}
	return kubelet.Run(ctx, kubelet.Config{
		Node: kubelet.Node{Name: node, Zone: m.Cluster, PodCIDRs: n.PodCIDR.List(),
			Addresses: n.Addresses.List(), BootID: boot.String()},
		Kubeconfig: kubeconfig, Runtime: runtime{l, node}, Ready: ready,
	}, log)
}

// runtime runs the pods of a node for its kubelet: namespaces with a responder.
type runtime struct {
	lab  *Lab
	node string
}

// Running implements kubelet.Runtime.
func (r runtime) Running() (map[string]kubelet.Running, error) {
	now, err := Load(r.lab.base, r.lab.binary, r.lab.Lab)
	if err != nil {
		return nil, err
	}
	n, err := now.node(r.node)
	if err != nil {
		return nil, err
	}
	out := map[string]kubelet.Running{}
	for _, pod := range n.Pods {
		p, err := r.lab.process(pod.Name, Responder)
		if err != nil && !missing(err) {
			return nil, err
		}
		out[pod.UID] = kubelet.Running{Addresses: pod.Addresses.List(), Alive: err == nil && p.Alive()}
	}
	return out, nil
}

// Run implements kubelet.Runtime. What was made of a pod that does not come up
// is removed again.
func (r runtime) Run(ctx context.Context, pod kubelet.Pod) error {
	unlock, err := r.alone()
	if err != nil {
		return err
	}
	defer unlock()
	object := pod.Namespace + "/" + pod.Name
	p, err := r.lab.Bind(r.node, object, pod.App, pod.UID)
	if err != nil {
		return err
	}
	if err := r.lab.save(); err != nil { // before anything is made: down finds all of it
		return err
	}
	if err := r.lab.runPod(ctx, r.node, p); err != nil {
		return errors.Join(fmt.Errorf("running %s: %w", object, err), r.end(ctx, p.Name))
	}
	return nil
}

// Stop implements kubelet.Runtime.
func (r runtime) Stop(ctx context.Context, uid string) error {
	unlock, err := r.alone()
	if err != nil {
		return err
	}
	defer unlock()
	n, err := r.lab.node(r.node)
	if err != nil {
		return err
	}
	for _, pod := range n.Pods {
		if pod.UID == uid {
			return r.end(ctx, pod.Name)
		}
	}
	return nil
}

// end ends a pod.
func (r runtime) end(ctx context.Context, name string) error {
	m, err := r.lab.Machine(name)
	if err != nil {
		return err
	}
	pod, node, err := r.lab.Plan.RemovePod(name)
	if err != nil {
		return err
	}
	return r.lab.endPod(ctx, m, pod, node)
}

// alone locks the lab and reads what others changed.
func (r runtime) alone() (unlock func(), err error) {
	unlock, err = r.lab.alone()
	if err != nil {
		return nil, err
	}
	if err := r.lab.reload(); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}
