package cri

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// fake is a container runtime without containers, which speaks the real protocol over
// a unix socket. What it has outlives a restart of its server.
type fake struct {
	runtime.UnimplementedRuntimeServiceServer
	t      *testing.T
	socket string
	server *grpc.Server

	// mu guards what follows, which the server's goroutines read.
	mu            sync.Mutex
	name, version string
	sandboxes     []*runtime.PodSandboxStatus
	info          map[string]string // of a sandbox, by its id
	// hung: calls are not answered until it is closed.
	hung chan struct{}
	// empty: lists have nothing, whatever there is; broken: no status is to be had.
	empty, broken bool
	// listeners get events; mute: they are refused; listened counts them.
	listeners []chan *runtime.ContainerEventResponse
	mute      bool
	listened  int
	// lists and statuses count the calls.
	lists, statuses int
}

// newFake returns a runtime that does not serve yet.
func newFake(t *testing.T) *fake {
	// A short path: that of a unix socket may have 107 bytes.
	dir, err := os.MkdirTemp("", "cri")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f := &fake{t: t, socket: dir + "/r.sock", name: "containerd", version: "v2.1.4", info: map[string]string{}}
	t.Cleanup(f.stop)
	return f
}

func (f *fake) start() {
	f.t.Helper()
	l, err := net.Listen("unix", f.socket)
	if err != nil {
		f.t.Fatal(err)
	}
	f.server = grpc.NewServer()
	runtime.RegisterRuntimeServiceServer(f.server, f)
	go f.server.Serve(l) // until stop
}

// stop ends the server as a crash does: connections and streams break.
func (f *fake) stop() {
	if f.server != nil {
		f.server.Stop()
		f.server = nil
	}
}

// with changes the runtime.
func (f *fake) with(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// sandboxOf returns a ready sandbox as a kubelet has it made.
func sandboxOf(id, uid, name string, ips ...string) *runtime.PodSandboxStatus {
	s := &runtime.PodSandboxStatus{
		Id: id, CreatedAt: 1, Metadata: &runtime.PodSandboxMetadata{Name: name, Namespace: "demo", Uid: uid},
		Labels:      map[string]string{labelName: name, labelNamespace: "demo", labelUID: uid},
		Annotations: map[string]string{annotationSource: sourceAPI},
		Network:     &runtime.PodSandboxNetworkStatus{},
		Linux:       &runtime.LinuxPodSandboxStatus{Namespaces: &runtime.Namespace{Options: &runtime.NamespaceOption{}}},
	}
	for i, ip := range ips {
		if i == 0 {
			s.Network.Ip = ip
			continue
		}
		s.Network.AdditionalIps = append(s.Network.AdditionalIps, &runtime.PodIP{Ip: ip})
	}
	return s
}

// run adds a sandbox, and tells it.
func (f *fake) run(s *runtime.PodSandboxStatus) {
	f.with(func() { f.sandboxes = append(f.sandboxes, s) })
	f.tell(runtime.ContainerEventType_CONTAINER_STARTED_EVENT, s.Id)
}

// end makes a sandbox not ready, and tells it.
func (f *fake) end(ids ...string) {
	f.with(func() {
		for _, s := range f.sandboxes {
			if slices.Contains(ids, s.Id) {
				s.State = runtime.PodSandboxState_SANDBOX_NOTREADY
			}
		}
	})
	for _, id := range ids {
		f.tell(runtime.ContainerEventType_CONTAINER_STOPPED_EVENT, id)
	}
}

// tell tells an event to all who listen.
func (f *fake) tell(kind runtime.ContainerEventType, id string) {
	f.with(func() {
		for _, l := range f.listeners {
			select {
			case l <- &runtime.ContainerEventResponse{ContainerId: id, ContainerEventType: kind}:
			default: // who has hundreds to read looks anyway
			}
		}
	})
}

// wait blocks while the runtime hangs.
func (f *fake) wait(ctx context.Context) {
	f.mu.Lock()
	hung := f.hung
	f.mu.Unlock()
	if hung != nil {
		select {
		case <-hung:
		case <-ctx.Done():
		}
	}
}

func (f *fake) Version(ctx context.Context, _ *runtime.VersionRequest) (*runtime.VersionResponse, error) {
	f.wait(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	return &runtime.VersionResponse{RuntimeName: f.name, RuntimeVersion: f.version, RuntimeApiVersion: "v1"}, nil
}

func (f *fake) ListPodSandbox(ctx context.Context, r *runtime.ListPodSandboxRequest) (*runtime.ListPodSandboxResponse, error) {
	f.wait(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lists++
	out := &runtime.ListPodSandboxResponse{}
	for _, s := range f.sandboxes {
		if f.empty || r.GetFilter().GetState() != nil && r.GetFilter().GetState().GetState() != s.State {
			continue
		}
		out.Items = append(out.Items, &runtime.PodSandbox{Id: s.Id, Metadata: s.Metadata, State: s.State, CreatedAt: s.CreatedAt, Labels: s.Labels, Annotations: s.Annotations})
	}
	return out, nil
}

func (f *fake) PodSandboxStatus(ctx context.Context, r *runtime.PodSandboxStatusRequest) (*runtime.PodSandboxStatusResponse, error) {
	f.wait(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.statuses++
	if f.broken {
		return nil, status.Error(codes.Unknown, "the shim does not answer")
	}
	for _, s := range f.sandboxes {
		if s.Id == r.PodSandboxId {
			out := &runtime.PodSandboxStatusResponse{Status: s}
			if text, ok := f.info[s.Id]; ok && r.Verbose {
				out.Info = map[string]string{"info": text}
			}
			return out, nil
		}
	}
	return nil, status.Error(codes.NotFound, fmt.Sprintf("no sandbox %q", r.PodSandboxId))
}

func (f *fake) GetContainerEvents(_ *runtime.GetEventsRequest, s runtime.RuntimeService_GetContainerEventsServer) error {
	events := make(chan *runtime.ContainerEventResponse, 256)
	f.mu.Lock()
	f.listened++
	mute := f.mute
	f.listeners = append(f.listeners, events)
	f.mu.Unlock()
	defer f.with(func() {
		f.listeners = slices.DeleteFunc(f.listeners, func(l chan *runtime.ContainerEventResponse) bool { return l == events })
	})
	if mute {
		return nil
	}
	for {
		select {
		case e := <-events:
			if err := s.Send(e); err != nil {
				return err
			}
		case <-s.Context().Done():
			return nil
		}
	}
}
