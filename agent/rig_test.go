package agent

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/agent/uplink"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/bpf/bpftest"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/control"
	"tombolo.io/tombolo/internal/etcdtest"
)

func TestMain(m *testing.M) { bpftest.Main(m) }

// rig is a cluster's store, and a node: a cgroup, a network namespace, a bpffs.
type rig struct {
	*testing.T
	*bpftest.Env
	store  *etcdtest.Store
	client *etcd.Client
	config Config
}

func newRig(t *testing.T) *rig {
	r := &rig{T: t, Env: bpftest.New(t), store: etcdtest.New(t)}
	r.client = r.store.Dial()
	r.Own(t, netip.MustParsePrefix("10.1.0.1/16"))
	r.config = Config{
		Node: "n1", RunDir: t.TempDir(), Version: "test",
		Store:    etcd.Config{Endpoints: r.store.Config.Listen},
		DataPath: bpf.Config{BPFFS: r.BPFFS, Cgroup: r.Cgroup, Sizes: bpf.SmallSizes()},
		// The devices here are those of the machine.
		ProbePort: bpf.DefaultProbePort, Uplinks: []string{uplink.None},
		Pods: PodsNone, Failover: health.On, Knobs: health.DefaultKnobs(),
	}
	return r
}

// put stores objects of the own cluster.
func (r *rig) put(objects ...clustermesh.Object) {
	r.Helper()
	for _, o := range objects {
		value, err := clustermesh.Encode(o)
		if err != nil {
			r.Fatal(err)
		}
		etcdtest.Put(r, r.client, clustermesh.KeyOf(clustermesh.Export, o).String(), string(value))
	}
}

// vouch stores the epoch and the markers of the own cluster's tables.
func (r *rig) vouch() {
	r.Helper()
	etcdtest.Put(r, r.client, clustermesh.EpochKey, "one")
	value, err := clustermesh.Encode(&clustermesh.Synced{Source: "a-pass", Epoch: "one"})
	if err != nil {
		r.Fatal(err)
	}
	for _, area := range []clustermesh.Area{clustermesh.Export, clustermesh.Private} {
		for _, k := range clustermesh.Tables(area) {
			marker := clustermesh.Key{Area: area, Kind: clustermesh.KindSynced, Name: string(k)}
			etcdtest.Put(r, r.client, marker.String(), string(value))
		}
	}
}

// running is an agent that a test stops.
type running struct {
	*Agent
	stop func()
}

// start starts an agent; it ends with the test at the latest.
func (r *rig) start() *running {
	r.Helper()
	if err := r.config.Validate(); err != nil {
		r.Fatal(err)
	}
	a := &running{Agent: New(r.config, etcdtest.Log())}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stopped := false
	a.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			r.Errorf("the agent ended with: %v", err)
		}
	}
	r.Cleanup(a.stop)
	return a
}

// until looks until the condition holds.
func (r *rig) until(what string, holds func() bool) {
	r.Helper()
	deadline := time.After(20 * time.Second)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-deadline:
			r.Fatalf("%s: not so after 20 s", what)
		}
	}
}

// dial connects to an address as a client on the node does, and returns who
// answered or what connect() said.
func (r *rig) dial(to netip.AddrPort) (string, error) {
	fd, err := r.NewSocket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, bpftest.Sockaddr(to, false)); err != nil {
		return "", err
	}
	name, _, err := bpftest.Receive(fd)
	return name, err
}

// ask asks the agent's socket.
func (r *rig) ask(path string, v any) error {
	return control.NewClient(r.config.RunDir, Role).Get(context.Background(), path, v)
}

var east = &clustermesh.Cluster{Name: "east", ID: 1,
	PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, NodeCIDRs: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}}

// web is a service at 10.96.0.1:80 with these endpoints, and its slice.
func web(endpoints ...netip.AddrPort) []clustermesh.Object {
	name := clustermesh.ServiceName{Namespace: "shop", Name: "web"}
	slice := &clustermesh.EndpointSlice{Service: name, Name: "web-1",
		Ports: []clustermesh.EndpointPort{{Name: "http", Protocol: clustermesh.TCP, Port: 8080}}}
	for i, e := range endpoints {
		slice.Ports[0].Port = e.Port()
		slice.Endpoints = append(slice.Endpoints, clustermesh.Endpoint{
			Address: e.Addr(), PodUID: fmt.Sprint("pod-", i), Node: "n1", Ready: true, Serving: true})
	}
	return []clustermesh.Object{slice, &clustermesh.Service{
		Name: name, Global: true, Shared: true, Weight: 100,
		ClusterIPs: []netip.Addr{vip.Addr()},
		Ports:      []clustermesh.ServicePort{{Name: "http", Protocol: clustermesh.TCP, Port: vip.Port()}},
	}}
}

var vip = netip.MustParseAddrPort("10.96.0.1:80")
