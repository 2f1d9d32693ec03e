// Package kubelet does for a node of a lab what a kubelet does for a real one:
// it registers the node with kube-apiserver and keeps its lease, has the pods
// that are bound to the node run and end, and says in their status what became
// of them. What running means is the lab's: Runtime is the seam.
//
// It is the one package of the lab that imports client-go. One goroutine owns
// all; what it does follows from what the API and the runtime say at that
// moment, so a pass that failed is simply made again.
//
// Containers, images, volumes and probes mean nothing to it: a pod is one
// process, which is ready while it lives. NotReady is the switch.
package kubelet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	core "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// NotReady is the annotation with which a pod that runs is not ready, whatever
// its value: kubectl annotate pod east-1-a lab.tombolo.io/not-ready=
const NotReady = "lab.tombolo.io/not-ready"

// Node is what the node says of itself.
type Node struct {
	Name string
	// Zone is the label topology.kubernetes.io/zone.
	Zone      string
	PodCIDRs  []netip.Prefix
	Addresses []netip.Addr
	// BootID is the kernel's.
	BootID string
}

// Pod is a pod to run.
type Pod struct {
	UID, Namespace, Name string
	// App is its label app.
	App string
}

// Running is a pod that was started.
type Running struct {
	Addresses []netip.Addr
	// Alive is false when its process ended by itself.
	Alive bool
}

// Runtime runs the pods of the node.
type Runtime interface {
	// Running returns the pods that were started and not stopped, by UID.
	Running() (map[string]Running, error)
	// Run starts a pod.
	Run(context.Context, Pod) error
	// Stop ends a pod; one that is not there is no error.
	Stop(ctx context.Context, uid string) error
}

// Config says for which node, and how the API is reached.
type Config struct {
	Node       Node
	Kubeconfig string
	Runtime    Runtime
	// Ready is called once, when the node is registered and its pods are known.
	Ready func()
}

// Times of a kubelet. The looks at processes are ten times as often as a real
// one's, whose runtime tells it; the others are Kubernetes' defaults.
const (
	lookEvery  = 100 * time.Millisecond
	leaseEvery = 10 * time.Second
	leaseFor   = 40 * time.Second
)

// kubelet is the state of Run.
type kubelet struct {
	Config
	core   core.CoreV1Interface
	leases coordination.LeaseInterface
	pods   cache.SharedIndexInformer
	log    *slog.Logger
	// failing is the last error of each thing that is done again and again, so that
	// it is told once.
	failing map[string]string
	// uid is the node's: another one under its name means that the API lost its
	// store. What ran then runs on, in kept: an API that lost its memory has not
	// deleted anything.
	uid  types.UID
	kept map[string]bool
	lost bool
}

// Run plays the kubelet of a node until ctx ends.
func Run(ctx context.Context, cfg Config, log *slog.Logger) error {
	rest, err := clientcmd.BuildConfigFromFlags("", cfg.Kubeconfig)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	rest.QPS = -1 // what a node of a lab asks is bounded by its pods
	pods, err := core.NewForConfig(rest)
	if err != nil {
		return fmt.Errorf("making a client of %s: %w", rest.Host, err)
	}
	leases, err := coordination.NewForConfig(rest)
	if err != nil {
		return fmt.Errorf("making a client of %s: %w", rest.Host, err)
	}
	k := &kubelet{Config: cfg, core: pods, leases: leases.Leases(corev1.NamespaceNodeLease), log: log,
		failing: map[string]string{}, kept: map[string]bool{}}
	return k.run(ctx)
}

func (k *kubelet) run(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	stop, err := k.watch(ctx, changed)
	if err != nil {
		return err
	}
	defer func() { stop() }()
	look, beat := time.NewTicker(lookEvery), time.NewTicker(leaseEvery)
	defer look.Stop()
	defer beat.Stop()
	registered := k.tell("registering the node", k.register(ctx))
	for ready := false; ; {
		if k.lost {
			// The revisions of a new store begin anew: a watch from an old one
			// would wait for them to catch up.
			k.lost = false
			stop()
			if stop, err = k.watch(ctx, changed); err != nil {
				return err
			}
		}
		if k.pods.HasSynced() && registered {
			if !ready {
				ready = true
				k.Ready()
			}
			k.tell("looking after pods", k.pass(ctx))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-look.C:
			if !registered {
				registered = k.tell("registering the node", k.register(ctx))
			}
		case <-beat.C:
			registered = k.tell("registering the node", k.register(ctx))
		}
	}
}

// watch starts an informer of the node's pods; stop ends it and waits for that.
func (k *kubelet) watch(ctx context.Context, changed chan<- struct{}) (stop func(), err error) {
	list := cache.NewListWatchFromClient(k.core.RESTClient(), "pods", corev1.NamespaceAll, fields.OneTermEqualSelector("spec.nodeName", k.Node.Name))
	k.pods = cache.NewSharedIndexInformer(list, &corev1.Pod{}, 0, nil)
	mark := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	_, err = k.pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { mark() }, UpdateFunc: func(any, any) { mark() }, DeleteFunc: func(any) { mark() },
	})
	if err != nil {
		return nil, fmt.Errorf("watching the node's pods: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	pods := k.pods
	work.Go(func() { pods.RunWithContext(ctx) })
	return func() { cancel(); work.Wait() }, nil
}

// tell logs an error when it is another than before, and says whether there is
// none.
func (k *kubelet) tell(doing string, err error) bool {
	if err == nil {
		delete(k.failing, doing)
		return true
	}
	if text := err.Error(); text != k.failing[doing] && !errors.Is(err, context.Canceled) {
		k.failing[doing] = text
		k.log.Warn(doing, "err", text)
	}
	return false
}
