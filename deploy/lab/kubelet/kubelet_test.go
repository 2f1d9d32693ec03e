package kubelet_test

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"tombolo.io/tombolo/deploy/lab/kubelet"
	"tombolo.io/tombolo/internal/kubetest"
)

// runtime keeps account of pods that it runs on paper.
type runtime struct {
	mu   sync.Mutex // the kubelet's goroutine runs them, the test's kills them
	pods map[string]*kubelet.Running
	log  []string
	// stopped has room for every Stop.
	stopped chan struct{}
}

func (r *runtime) Running() (map[string]kubelet.Running, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]kubelet.Running{}
	for uid, p := range r.pods {
		out[uid] = *p
	}
	return out, nil
}

func (r *runtime) Run(_ context.Context, pod kubelet.Pod) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pods[pod.UID] = &kubelet.Running{Alive: true, Addresses: []netip.Addr{netip.MustParseAddr("10.1.1.10")}}
	r.log = append(r.log, "run "+pod.Namespace+"/"+pod.Name+" "+pod.App)
	return nil
}

func (r *runtime) Stop(_ context.Context, uid string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.pods, uid)
	r.log = append(r.log, "stop")
	r.stopped <- struct{}{}
	return nil
}

func (r *runtime) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.pods {
		p.Alive = false
	}
}

func (r *runtime) told() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.log, ", ")
}

const pod = `
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: default, labels: {app: web}}
spec: {nodeName: n1, containers: [{name: web, image: none}]}
`

// To a real API the kubelet is one: the node is ready and has a lease, a pod is
// run and ready, switched, found dead, deleted, and deleted behind its back. When
// the API lost its store, what runs runs on.
func TestKubelet(t *testing.T) {
	c := kubetest.New(t, kubetest.Config{Controllers: true})
	r := &runtime{pods: map[string]*kubelet.Running{}, stopped: make(chan struct{}, 9)}
	ctx, cancel := context.WithCancel(t.Context())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() {
		ended <- kubelet.Run(ctx, kubelet.Config{
			Node: kubelet.Node{Name: "n1", Zone: "z", BootID: "b", PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.1.0/24")},
				Addresses: []netip.Addr{netip.MustParseAddr("172.20.1.1")}},
			Kubeconfig: c.Admin().Kubeconfig, Runtime: r, Ready: func() { close(ready) },
		}, slog.New(slog.DiscardHandler))
	}()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	<-ready
	c.Kubectl("", "wait", "node/n1", "--for=condition=Ready", "--timeout=60s")
	c.Kubectl("", "wait", "lease/n1", "-n", "kube-node-lease", "--for=create", "--timeout=60s")
	c.Kubectl(pod, "apply", "-f", "-")
	is := func(condition string) {
		t.Helper()
		c.Kubectl("", "wait", "pod/web", "--for="+condition, "--timeout=60s")
	}
	is("condition=Ready")
	is("jsonpath={.status.podIP}=10.1.1.10")
	c.Kubectl("", "annotate", "pod/web", kubelet.NotReady+"=")
	is("condition=Ready=false")
	c.Kubectl("", "annotate", "pod/web", kubelet.NotReady+"-")
	is("condition=Ready")
	r.kill()
	is("condition=Ready=false")
	c.Kubectl("", "delete", "pod/web", "--timeout=60s")
	r.awaitStop(t)
	c.Kubectl(pod, "apply", "-f", "-")
	is("condition=Ready")
	c.Kubectl("", "delete", "pod/web", "--force", "--grace-period=0")
	r.awaitStop(t)
	c.Kubectl(pod, "apply", "-f", "-")
	is("condition=Ready")
	c.Lose()
	c.Kubectl("", "wait", "node/n1", "--for=create", "--timeout=60s") // it is registered anew
	c.Kubectl(pod, "apply", "-f", "-")
	is("condition=Ready")
	if got := r.told(); got != "run default/web web, stop, run default/web web, stop, run default/web web, run default/web web" {
		t.Errorf("the runtime was told: %s", got)
	}
}

func (r *runtime) awaitStop(t *testing.T) {
	t.Helper()
	select {
	case <-r.stopped:
	case <-time.After(time.Minute):
		t.Fatalf("the runtime was told: %s", r.told())
	}
}
