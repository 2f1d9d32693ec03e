package cri

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	// patience is how long an answer is waited for: the kubelet waits for minutes, and
	// a runtime whose disk is busy takes seconds for a list.
	patience = 10 * time.Second
	// maxAnswer bounds an answer, in bytes; the kubelet allows as much.
	maxAnswer = 16 << 20
)

// session is a connection to a container runtime, which comes back by itself.
type session struct {
	socket string
	conn   *grpc.ClientConn
	api    runtime.RuntimeServiceClient
	// name and version are the runtime's, once it has said them.
	name, version string
}

// open makes a session, and connects when it is used.
func open(socket string) (*session, error) {
	conn, err := grpc.NewClient("unix:"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the socket is root's
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: patience,
		}))
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", socket, err)
	}
	return &session{socket: socket, conn: conn, api: runtime.NewRuntimeServiceClient(conn)}, nil
}

func (s *session) close() {
	if s != nil {
		s.conn.Close()
	}
}

// identify asks who the runtime is.
func (s *session) identify(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	v, err := s.api.Version(ctx, &runtime.VersionRequest{})
	if err != nil {
		return s.failure(err)
	}
	s.name, s.version = v.GetRuntimeName(), v.GetRuntimeVersion()
	return nil
}

// list returns the sandboxes that are ready.
func (s *session) list(ctx context.Context) ([]*sandbox, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := s.api.ListPodSandbox(ctx, &runtime.ListPodSandboxRequest{Filter: &runtime.PodSandboxFilter{
		State: &runtime.PodSandboxStateValue{State: runtime.PodSandboxState_SANDBOX_READY},
	}})
	if err != nil {
		return nil, s.failure(err)
	}
	var out []*sandbox
	for _, i := range r.GetItems() {
		if i.GetState() == runtime.PodSandboxState_SANDBOX_READY && i.GetId() != "" {
			out = append(out, listed(i))
		}
	}
	return out, nil
}

// ask asks about one sandbox.
func (s *session) ask(ctx context.Context, id string) (st sandboxStatus, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := s.api.PodSandboxStatus(ctx, &runtime.PodSandboxStatusRequest{PodSandboxId: id, Verbose: true})
	if err != nil {
		return st, s.failure(err)
	}
	return readStatus(r), nil
}

// failure says in what a call to the runtime ended.
func (s *session) failure(err error) error {
	e := status.Convert(err)
	return fmt.Errorf("asking the container runtime at %s which pods run here: %w", s.socket, &callError{e})
}

// callError is an error of a call, for people without the words of the protocol.
type callError struct{ *status.Status }

// Error says what the runtime or its connection said.
func (e *callError) Error() string { return e.Code().String() + ": " + e.Message() }

// GRPCStatus lets status.Code find the code.
func (e *callError) GRPCStatus() *status.Status { return e.Status }

// tellsAll says whether the runtime tells events to all who listen. Before
// containerd 2.0 (containerd/containerd#9661) and CRI-O 1.28 (cri-o/cri-o#6838) each
// event went to one of them, so that listening would have taken it from the kubelet.
// Of others it is not known.
func (s *session) tellsAll() bool {
	major, minor := release(s.version)
	switch s.name {
	case "containerd":
		return major >= 2
	case "cri-o":
		return major > 1 || major == 1 && minor >= 28
	}
	return false
}

// release reads the first two numbers of a version; zeroes where there are none.
func release(version string) (major, minor int) {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) < 2 {
		return 0, 0
	}
	major, err := strconv.Atoi(parts[0])
	if err != nil {
		return 0, 0
	}
	minor, _ = strconv.Atoi(parts[1])
	return major, minor
}
