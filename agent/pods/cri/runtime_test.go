package cri

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"tombolo.io/tombolo/agent/pods"
)

// TestFollows holds that pods that come and go are seen with all their addresses, and
// that each such change, and nothing else, moves the epoch.
func TestFollows(t *testing.T) {
	w := newWorld(t)
	w.fake.run(sandboxOf("s1", "a", "echo-1", "10.1.0.1", "fd00::1"))
	w.fake.run(sandboxOf("s0", "gone", "job", "10.1.0.9"))
	w.end("s0")
	w.follow()
	w.is("10.1.0.1", "a", pods.Lives)
	w.is("fd00::1", "a", pods.Lives)
	w.is("10.1.0.9", "gone", pods.Ended)
	w.is("10.1.0.1", "b", pods.Reused)
	w.passes(1)
	if got := w.epoch.Load(); got != 1 {
		t.Errorf("epoch %d, want 1 after the first pass", got)
	}
	p := w.node.Snapshot().Set.Pods()
	if len(p) != 1 || p[0].Name != "demo/echo-1" || p[0].Sandbox != "s1" {
		t.Errorf("pods %+v", p)
	}
	moves := func(what string, change func()) {
		t.Helper()
		before := w.epoch.Load()
		change()
		w.until(what+" moves the epoch", func() bool { return w.epoch.Load() > before })
	}
	moves("a pod that comes", func() { w.fake.run(sandboxOf("s2", "b", "echo-2", "10.1.0.2")) })
	w.is("10.1.0.2", "b", pods.Lives)
	moves("a pod that goes", func() { w.end("s1") })
	w.is("10.1.0.1", "a", pods.Ended)
	moves("its address for another", func() { w.fake.run(sandboxOf("s3", "c", "echo-3", "10.1.0.1")) })
	w.is("10.1.0.1", "a", pods.Reused)
	moves("its sandbox made anew", func() {
		w.fake.run(sandboxOf("s4", "c", "echo-3", "10.1.0.4"))
		w.end("s3")
	})
	w.is("10.1.0.4", "c", pods.Lives)
	w.is("10.1.0.1", "c", pods.Ended)

	w.passes(1)
	before := w.epoch.Load()
	w.tell(runtime.ContainerEventType_CONTAINER_CREATED_EVENT, "of a container")
	w.passes(2)
	if got := w.epoch.Load(); got != before {
		t.Errorf("nothing changed, and the epoch moved from %d to %d", before, got)
	}
	w.content()
}

// TestKinds holds what is said of pods in the node's network, of static ones, of one
// without an address, and of a sandbox that is not the kubelet's.
func TestKinds(t *testing.T) {
	w := newWorld(t)
	host := sandboxOf("s1", "proxy", "proxy")
	host.Linux.Namespaces.Options.Network = runtime.NamespaceMode_NODE
	static := sandboxOf("s2", "hash", "static", "10.1.0.2")
	static.Annotations[annotationSource] = "file"
	alien := sandboxOf("s4", "", "", "10.1.0.4")
	alien.Labels, alien.Metadata, alien.Annotations = nil, nil, nil
	for _, s := range []*runtime.PodSandboxStatus{host, static, sandboxOf("s3", "bare", "bare"), alien} {
		w.fake.run(s)
	}
	w.follow()
	for _, c := range []struct {
		address, uid string
		want         pods.State
	}{
		{"192.0.2.1", "proxy", pods.Lives},   // at the node's address
		{"192.0.2.1", "other", pods.Ended},   // no static pod is there
		{"10.1.0.2", "mirror", pods.Unknown}, // the API's uid of the static pod is another
		{"10.1.0.2", "hash", pods.Lives},
		{"10.1.0.3", "bare", pods.Unknown},
		{"10.1.0.4", "old", pods.Reused},
		{"10.1.0.5", "old", pods.Ended},
	} {
		w.is(c.address, c.uid, c.want)
	}
	kubeApiserver := sandboxOf("s5", "hash-2", "kube-apiserver")
	kubeApiserver.Annotations[annotationSource] = "file"
	kubeApiserver.Linux.Namespaces.Options.Network = runtime.NamespaceMode_NODE
	w.fake.run(kubeApiserver)
	w.is("192.0.2.1", "other", pods.Unknown) // it may be its uid in the API
	w.is("10.1.0.5", "old", pods.Ended)
	w.with(func() { w.sandboxes[2].Network.Ip = "10.1.0.3" })
	w.is("10.1.0.3", "bare", pods.Lives)
}

// TestSilenceEndsNobody holds that a runtime that dies, hangs, or restarts and has
// forgotten addresses or all pods ends nobody, that people are told, that nothing is said
// of others while there is no list, and that it is followed on when it is back.
func TestSilenceEndsNobody(t *testing.T) {
	for name, c := range map[string]struct {
		fault func(*world)
		says  string
		heal  func(*world)
		other pods.State // of a pod that is not known
		most  uint64     // how far the epoch may move: once when the runtime was away and is back
	}{
		"dies": {func(w *world) { w.fake.stop() }, "Unavailable", func(w *world) { w.fake.start() }, pods.Unknown, 0},
		"hangs": {func(w *world) { w.with(func() { w.hung = make(chan struct{}) }) }, "DeadlineExceeded",
			func(w *world) { w.with(func() { close(w.hung); w.hung = nil }) }, pods.Unknown, 0},
		"is empty": {func(w *world) { w.with(func() { w.empty = true }) }, "has 2 pods no more",
			func(w *world) { w.with(func() { w.empty = false }) }, pods.Ended, 0},
		"restarts empty": {func(w *world) { w.fake.stop(); w.with(func() { w.empty = true }); w.fake.start() }, "has 2 pods no more",
			func(w *world) { w.with(func() { w.empty = false }) }, pods.Ended, 1},
		"restarts without addresses": {func(w *world) {
			w.fake.stop()
			w.with(func() {
				for _, s := range w.sandboxes {
					s.Network = &runtime.PodSandboxNetworkStatus{}
				}
			})
			w.fake.start()
			w.halt() // an agent that starts has to ask anew
			w.follow()
		}, "", func(*world) {}, pods.Ended, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.fake.run(sandboxOf("s1", "a", "echo-1", "10.1.0.1"))
			w.fake.run(sandboxOf("s2", "b", "echo-2", "10.1.0.2"))
			w.follow()
			w.is("10.1.0.2", "b", pods.Lives)
			w.passes(1)
			epoch := w.epoch.Load()
			c.fault(w)
			if c.says != "" {
				w.complains(c.says)
			} else {
				w.until("its own word", func() bool { return w.node.Snapshot().From != "" })
			}
			if a, b := w.state("10.1.0.1", "a"), w.state("10.1.0.2", "b"); a != pods.Lives || b != pods.Lives || w.epoch.Load() > epoch+c.most {
				t.Errorf("a %v, b %v, epoch %d then %d", a, b, epoch, w.epoch.Load())
			}
			if got := w.state("10.1.0.9", "other"); got != c.other {
				t.Errorf("a pod that is not known is %v, want %v", got, c.other)
			}
			c.heal(w)
			w.content()
			w.fake.run(sandboxOf("s3", "c", "echo-3", "10.1.0.3"))
			w.end("s1")
			w.is("10.1.0.3", "c", pods.Lives)
			w.is("10.1.0.1", "a", pods.Ended)
			if got := w.state("10.1.0.2", "b"); got != pods.Lives {
				t.Errorf("b %v", got)
			}
		})
	}
}

// TestKernelRules holds that of pods that a runtime loses all at once those live whose
// processes do, and that the others are gone as soon as the kernel says so.
func TestKernelRules(t *testing.T) {
	w := newWorld(t)
	w.cgroup = t.TempDir()
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(w.cgroup, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(w.cgroup, path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("cgroup.controllers", "cpu\n")
	const slice = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod%s.slice"
	for i, uid := range []string{"a", "b", "c"} {
		id := fmt.Sprintf("s%d", i+1)
		write(fmt.Sprintf(slice, uid)+"/cgroup.events", "populated 1\nfrozen 0\n")
		w.info[id] = fmt.Sprintf(`{"config":{"linux":{"cgroup_parent":"kubepods-burstable-pod%s.slice"}}}`, uid)
		w.fake.run(sandboxOf(id, uid, "echo-"+uid, fmt.Sprintf("10.1.0.%d", i+1)))
	}
	w.follow()
	w.is("10.1.0.3", "c", pods.Lives)
	if got, want := w.node.Snapshot().Set.Pods()[0].Cgroup, "/"+fmt.Sprintf(slice, "a"); got != want {
		t.Errorf("cgroup %q, want %q", got, want)
	}
	write(fmt.Sprintf(slice, "a")+"/cgroup.events", "populated 0\nfrozen 0\n")
	w.with(func() { w.empty = true })
	w.tell(runtime.ContainerEventType_CONTAINER_STOPPED_EVENT, "s1")
	w.is("10.1.0.1", "a", pods.Ended)
	w.complains("has 2 pods no more")
	if got := w.node.Snapshot().Doubted; got != 2 || w.state("10.1.0.2", "b") != pods.Lives {
		t.Errorf("%d doubted, b %v", got, w.state("10.1.0.2", "b"))
	}
	if err := os.RemoveAll(filepath.Join(w.cgroup, "kubepods.slice")); err != nil {
		t.Fatal(err)
	}
	w.is("10.1.0.2", "b", pods.Ended)
	w.is("10.1.0.3", "c", pods.Ended)
	w.content()
}

// TestMostLost holds that without the kernel's word most pods may go when lists agree
// for a while, and not before.
func TestMostLost(t *testing.T) {
	w := newWorld(t)
	for i := range 4 {
		w.fake.run(sandboxOf(fmt.Sprint("s", i), fmt.Sprint("p", i), "echo", fmt.Sprintf("10.1.0.%d", i)))
	}
	w.follow()
	w.is("10.1.0.3", "p3", pods.Lives)
	began := time.Now()
	w.end("s0", "s1", "s2")
	w.is("10.1.0.2", "p2", pods.Ended)
	if took := time.Since(began); took < agreed {
		t.Errorf("believed after %v", took)
	}
	w.content()
}

// TestRestart holds that a restart of the agent moves the epoch exactly if something
// changed meanwhile, and if the runtime was away, once when it is back.
func TestRestart(t *testing.T) {
	w := newWorld(t)
	w.fake.run(sandboxOf("s1", "a", "echo-1", "10.1.0.1"))
	w.fake.run(sandboxOf("s2", "b", "echo-2", "10.1.0.2"))
	w.follow()
	w.is("10.1.0.2", "b", pods.Lives)
	w.halt()
	epoch := w.epoch.Load()
	w.fake.stop()
	w.follow()
	w.is("10.1.0.2", "b", pods.Lives) // from what was kept
	if got := w.state("10.1.0.2", "c"); got != pods.Unknown {
		t.Errorf("who may have begun meanwhile is %v", got)
	}
	w.fake.start()
	w.content()
	w.passes(2)
	if epoch++; w.epoch.Load() != epoch {
		t.Errorf("the runtime is back, and the epoch is %d, want %d", w.epoch.Load(), epoch)
	}
	w.halt()
	w.follow()
	w.content()
	w.passes(2)
	if got := w.epoch.Load(); got != epoch {
		t.Errorf("nothing changed, and the epoch moved from %d to %d", epoch, got)
	}
	w.halt()
	w.end("s1")
	w.follow()
	w.is("10.1.0.1", "a", pods.Ended)
	w.until("the epoch moves", func() bool { return w.epoch.Load() == epoch+1 })
}

// TestBrokenStatus holds that a pod whose status is not to be had is not said to be
// anything, and that the others are.
func TestBrokenStatus(t *testing.T) {
	w := newWorld(t)
	w.fake.run(sandboxOf("s1", "a", "echo-1", "10.1.0.1"))
	w.follow()
	w.is("10.1.0.1", "a", pods.Lives)
	w.with(func() { w.broken = true })
	w.fake.run(sandboxOf("s2", "b", "echo-2", "10.1.0.2"))
	w.complains("the shim does not answer")
	if a, b := w.state("10.1.0.1", "a"), w.state("10.1.0.2", "b"); a != pods.Lives || b != pods.Unknown {
		t.Errorf("a %v, b %v", a, b)
	}
	w.with(func() { w.broken = false })
	w.is("10.1.0.2", "b", pods.Lives)
	w.content()
}

// TestWhichRuntime holds that of several sockets the one counts that has pods, that
// none is known before one has, and what is said then.
func TestWhichRuntime(t *testing.T) {
	w := newWorld(t) // has none
	other := newFake(t)
	other.start()
	w.sockets = []string{w.socket + ".missing", w.socket, other.socket}
	w.follow()
	w.complains("has no pods, and it is not known which run here")
	if got := w.state("10.1.0.1", "a"); got != pods.Unknown {
		t.Errorf("before anything is known: %v", got)
	}
	other.run(sandboxOf("s1", "a", "echo-1", "10.1.0.1"))
	w.is("10.1.0.1", "a", pods.Lives)
	w.content()
	if from := w.node.Snapshot().From; !strings.Contains(from, other.socket) {
		t.Errorf("it is known from %q", from)
	}
}

// TestOthersRuntime holds that after a restart a runtime without pods, which need not be
// the kubelet's, says nothing of pods that were not known, and ends none of those that
// were.
func TestOthersRuntime(t *testing.T) {
	w := newWorld(t)
	w.fake.run(sandboxOf("s1", "a", "echo-1", "10.1.0.1"))
	w.follow()
	w.is("10.1.0.1", "a", pods.Lives)
	w.halt()
	w.with(func() { w.empty = true })
	w.follow()
	w.complains("has 1 pods no more")
	if a, other := w.state("10.1.0.1", "a"), w.state("10.1.0.2", "b"); a != pods.Lives || other != pods.Unknown {
		t.Errorf("a %v, and who may have begun meanwhile %v", a, other)
	}
	w.with(func() { w.empty = false })
	w.is("10.1.0.2", "b", pods.Ended)
	w.content()
}

// BenchmarkPass measures one look at a node of 110 pods of which nothing is new: both
// sides of the socket, and what is published. It is taken twice a second at most while
// nothing happens.
func BenchmarkPass(b *testing.B) {
	dir := b.TempDir()
	f := &fake{socket: filepath.Join(dir, "r.sock"), name: "containerd", version: "v1.7.0", info: map[string]string{}}
	l, err := net.Listen("unix", f.socket)
	if err != nil {
		b.Fatal(err)
	}
	f.server = grpc.NewServer()
	runtime.RegisterRuntimeServiceServer(f.server, f)
	go f.server.Serve(l)
	defer f.stop()
	for i := range 110 {
		f.run(sandboxOf(fmt.Sprint("s", i), fmt.Sprint("p", i), "echo", fmt.Sprintf("10.1.0.%d", i+1)))
	}
	follow := &follower{Runtime: Runtime{Sockets: []string{f.socket}, Host: HostAddresses},
		ledger: newLedger(nil, func(string) presence { return unsure }, time.Now())}
	defer func() { follow.session.close() }()
	for b.Loop() {
		if err := follow.pass(b.Context()); err != nil {
			b.Fatal(err)
		}
		if n := len(follow.finding(nil, time.Now()).Pods); n != 110 {
			b.Fatalf("%d pods", n)
		}
	}
}
