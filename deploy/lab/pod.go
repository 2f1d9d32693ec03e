package lab

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"tombolo.io/tombolo/deploy/lab/objects"
	"tombolo.io/tombolo/deploy/lab/plan"
	"tombolo.io/tombolo/deploy/lab/sandbox"
)

// A node's directory of pods is what a container runtime would tell its agent: a
// file for each pod that runs there, whatever the objects of the cluster say.

// notePods writes the directory of every node.
func (l *Lab) notePods() error {
	for _, c := range l.Clusters {
		for _, n := range c.Nodes {
			for _, pod := range n.Pods {
				if err := l.notePod(n.Name, pod); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// podsDir is named to the agent, which must not look for a runtime of the machine.
func (l *Lab) podsDir(node string) string { return filepath.Join(l.RunDir(node), "pods") }

func (l *Lab) podFile(node string, pod plan.Pod) string {
	return filepath.Join(l.podsDir(node), pod.UID+".json")
}

func (l *Lab) notePod(node string, pod plan.Pod) error {
	path := l.podFile(node, pod)
	raw, err := json.Marshal(struct {
		UID       string       `json:"uid"`
		Name      string       `json:"name"`
		Addresses []netip.Addr `json:"addresses"`
	}{pod.UID, cmp.Or(pod.Object, objects.Namespace+"/"+pod.Name), pod.Addresses.List()})
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = writeFile(path, raw)
	}
	if err != nil {
		return fmt.Errorf("noting that %s runs on %s: %w", pod.Name, node, err)
	}
	return nil
}

// AddPod runs one more pod on a node; see plan.Plan.AddPod for its name, app and
// addresses. It is among the objects of its cluster, and of the app echo behind
// demo/echo, when AddPod returns; with Kubernetes it is ready by then, and the
// endpoint slices are the controller's.
func (l *Lab) AddPod(ctx context.Context, node, name, app string) (plan.Pod, error) {
	if l.Kubernetes != "" {
		return l.addBoundPod(ctx, node, name, app)
	}
	unlock, err := l.changing()
	if err != nil {
		return plan.Pod{}, err
	}
	defer unlock()
	if err := l.reload(); err != nil {
		return plan.Pod{}, err
	}
	pod, err := l.Plan.AddPod(node, name, app, time.Now().Format(time.RFC3339Nano))
	if err != nil {
		return plan.Pod{}, err
	}
	if err := l.save(); err != nil { // before anything is made: down finds all of it
		return pod, err
	}
	if err := l.runPod(ctx, node, pod); err != nil {
		return pod, err
	}
	m, err := l.Machine(pod.Name)
	if err != nil {
		return pod, err
	}
	raw, err := objects.Pod(node, pod)
	if err == nil {
		_, err = l.Apply(m.Cluster, raw)
	}
	return pod, errors.Join(err, l.applyEcho(m.Cluster))
}

// runPod makes a pod that is in the plan, and returns when it answers.
func (l *Lab) runPod(ctx context.Context, node string, pod plan.Pod) error {
	if err := l.makePod(node, pod); err != nil {
		return err
	}
	m, err := l.Machine(pod.Name)
	if err != nil {
		return err
	}
	if err := l.start(ctx, l.responder(m)); err != nil {
		return err
	}
	return l.notePod(node, pod)
}

// makePod makes a pod's namespace and its wire to the node.
func (l *Lab) makePod(node string, pod plan.Pod) error {
	m, err := l.Machine(pod.Name)
	if err != nil {
		return err
	}
	groups, err := l.cgroups()
	if err != nil {
		return err
	}
	if err := l.makeMachine(m, filepath.Join(groups, m.Cgroup())); err != nil {
		return err
	}
	inside, err := sandbox.OpenNet(l.Namespace(pod.Name))
	if err != nil {
		return err
	}
	defer inside.Close()
	outside, err := sandbox.OpenNet(l.Namespace(node))
	if err != nil {
		return err
	}
	defer outside.Close()
	if err := prepare(inside, plan.KindPod); err != nil {
		return err
	}
	nets := map[string]*sandbox.Net{pod.Name: inside, node: outside}
	n, err := l.node(node)
	if err != nil {
		return err
	}
	if err := connect(nets, n.Wire(pod)); err != nil {
		return err
	}
	return addRoutes(nets, n.Routes(pod))
}

// RemovePod ends a pod: first among the objects of its cluster, then its
// processes, then all that it was made of.
func (l *Lab) RemovePod(ctx context.Context, name string) error {
	if l.Kubernetes != "" {
		return l.removeBoundPod(ctx, name)
	}
	unlock, err := l.changing()
	if err != nil {
		return err
	}
	defer unlock()
	if err := l.reload(); err != nil {
		return err
	}
	m, err := l.Machine(name)
	if err != nil {
		return err
	}
	pod, node, err := l.Plan.RemovePod(name)
	if err != nil {
		return err
	}
	raw, err := objects.Pod(node.Name, pod)
	if err != nil {
		return err
	}
	_, err = l.Delete(m.Cluster, raw)
	if err := errors.Join(err, l.applyEcho(m.Cluster)); err != nil {
		return err
	}
	return l.endPod(ctx, m, pod, node)
}

// endPod ends a pod that was taken out of the plan, and removes all that it was
// made of.
func (l *Lab) endPod(ctx context.Context, m plan.Machine, pod plan.Pod, node plan.Node) error {
	if p, err := l.process(m.Name, Responder); err == nil && p.Alive() {
		if err := errors.Join(p.Signal(syscall.SIGKILL), gone(ctx, l.responder(m), p)); err != nil {
			return fmt.Errorf("ending %s: %w", m.Name, err)
		}
	}
	if err := os.Remove(l.podFile(node.Name, pod)); err != nil && !missing(err) {
		return fmt.Errorf("noting that %s is gone from %s: %w", m.Name, node.Name, err)
	}
	return errors.Join(l.unmakePod(ctx, m, node), l.save())
}

// unmakePod removes what makePod made.
func (l *Lab) unmakePod(ctx context.Context, m plan.Machine, node plan.Node) error {
	groups, err := l.cgroups()
	if err != nil {
		return err
	}
	outside, err := sandbox.OpenNet(l.Namespace(node.Name))
	if err != nil {
		return err
	}
	defer outside.Close()
	return errors.Join(
		sandbox.RemoveCgroup(ctx, filepath.Join(groups, m.Cgroup())),
		outside.Delete(m.Name), // the namespace may live for a while after its name
		sandbox.DeleteNamespace(l.Namespace(m.Name)),
		os.RemoveAll(l.machineDir(m.Name)))
}

// applyEcho writes the endpoint slices of demo/echo as the pods are now.
func (l *Lab) applyEcho(cluster string) error {
	c, ok := l.Cluster(cluster)
	if !ok {
		return l.noCluster(cluster)
	}
	raw, err := objects.EchoSlices(c)
	if err == nil {
		_, err = l.Apply(cluster, raw)
	}
	return err
}

// reload reads the plan again: another process may have changed it.
func (l *Lab) reload() error {
	now, err := Load(l.base, l.binary, l.Lab)
	if err != nil {
		return err
	}
	l.Plan = now.Plan
	return nil
}

func (l *Lab) node(name string) (plan.Node, error) {
	for _, c := range l.Clusters {
		for _, n := range c.Nodes {
			if n.Name == name {
				return n, nil
			}
		}
	}
	return plan.Node{}, fmt.Errorf("lab %s has no node %q", l.Lab, name)
}
