package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/etcd/election"
	"tombolo.io/tombolo/etcd/embedded"
)

// epoch of the benchmark's stores, in their markers.
const epoch = "bench"

// store is an etcd in this process, with an elected writer.
type store struct {
	url    string
	dir    string
	server *embedded.Server
	client *etcd.Client
	leader *election.Leader
	writer *etcd.Writer
}

var quiet = slog.New(slog.DiscardHandler)

// newStore starts an empty store on loopback.
func newStore(ctx context.Context) (s *store, err error) {
	s = &store{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.dir, err = os.MkdirTemp("", "tombolo-bench-"); err != nil {
		return s, err
	}
	if s.url, err = freeURL(); err != nil {
		return s, err
	}
	s.server, err = embedded.Start(ctx, embedded.Config{Dir: s.dir + "/etcd", Listen: []string{s.url}, EpochKey: clustermesh.EpochKey}, quiet)
	if err != nil {
		return s, err
	}
	if s.client, err = etcd.Dial(etcd.Config{Endpoints: []string{s.url}}); err != nil {
		return s, err
	}
	if err = s.client.Put(ctx, clustermesh.EpochKey, []byte(epoch)); err != nil {
		return s, err
	}
	s.leader, err = election.Campaign(ctx, s.client, quiet, election.Config{
		Prefix: "tombolo/election/bench/", Ledger: "tombolo/ledger/", Name: "bench", TTL: 10 * time.Second,
	})
	if err != nil {
		return s, err
	}
	s.writer, err = etcd.NewWriter(ctx, s.client, s.leader.Fence, clustermesh.Root)
	return s, err
}

func freeURL() (string, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("finding a free port: %w", err)
	}
	defer l.Close()
	return "http://" + l.Addr().String(), nil
}

func (s *store) close() error {
	if s.leader != nil {
		s.leader.Resign()
	}
	var err error
	if s.client != nil {
		err = s.client.Close()
	}
	if s.server != nil {
		s.server.Stop()
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// put stages an object of ours (cluster empty) or of a mirrored cluster.
func (s *store) put(area clustermesh.Area, cluster string, o clustermesh.Object) error {
	value, err := clustermesh.Encode(o)
	if err != nil {
		return err
	}
	k := clustermesh.KeyOf(area, o)
	k.Cluster = cluster
	s.writer.Put(k.String(), value)
	return nil
}

// mark stages the markers of all tables of an area.
func (s *store) mark(area clustermesh.Area, cluster string) error {
	for _, kind := range clustermesh.Tables(area) {
		value, err := clustermesh.Encode(&clustermesh.Synced{Source: "bench", Epoch: epoch})
		if err != nil {
			return err
		}
		s.writer.Mark(clustermesh.Key{Area: area, Cluster: cluster, Kind: clustermesh.KindSynced, Name: string(kind)}.String(), value)
	}
	return nil
}

// fill writes a mesh of two clusters: east, whose store this is, defines
// services, and all their endpoints are west's.
func (s *store) fill(ctx context.Context, services, endpoints int) error {
	errs := []error{
		s.put(clustermesh.Export, "", member("east", 1, "10.1.0.0/16", "172.20.1.0/24")),
		s.put(clustermesh.Mirror, "west", member("west", 2, "10.128.0.0/9", "172.20.2.0/24")),
		s.put(clustermesh.Private, "", &clustermesh.Peer{Name: "west", Endpoints: []string{"https://172.20.2.1:2379"},
			TLS: clustermesh.TLSFiles{CA: "/bench/ca.pem", Cert: "/bench/cert.pem", Key: "/bench/key.pem"}}),
	}
	for i := range services {
		def := bigService(i)
		errs = append(errs, s.put(clustermesh.Export, "", def), s.put(clustermesh.Mirror, "west", def),
			s.put(clustermesh.Mirror, "west", bigSlice(i, endpoints)))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for area, cluster := range map[clustermesh.Area]string{clustermesh.Export: "", clustermesh.Private: "", clustermesh.Mirror: "west"} {
		if err := s.mark(area, cluster); err != nil {
			return err
		}
	}
	return s.writer.Flush(ctx)
}

func member(name string, id uint16, pods, nodes string) *clustermesh.Cluster {
	return &clustermesh.Cluster{Name: name, ID: id,
		PodCIDRs: []netip.Prefix{netip.MustParsePrefix(pods)}, NodeCIDRs: []netip.Prefix{netip.MustParsePrefix(nodes)},
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")}}
}

func bigService(i int) *clustermesh.Service {
	return &clustermesh.Service{
		Name:       clustermesh.ServiceName{Namespace: "bench", Name: fmt.Sprintf("service-%d", i)},
		ClusterIPs: []netip.Addr{nth(netip.MustParseAddr("10.96.0.0"), i)},
		Ports:      []clustermesh.ServicePort{{Name: "http", Protocol: clustermesh.TCP, Port: 80}},
		Global:     true, Shared: true, Weight: 100, TableSize: 1021,
	}
}

func bigSlice(i, endpoints int) *clustermesh.EndpointSlice {
	s := &clustermesh.EndpointSlice{
		Service: bigService(i).Name, Name: fmt.Sprintf("service-%d-a", i),
		Ports: []clustermesh.EndpointPort{{Name: "http", Protocol: clustermesh.TCP, Port: 8080}},
	}
	for j := range endpoints {
		n := i*endpoints + j
		s.Endpoints = append(s.Endpoints, clustermesh.Endpoint{
			Address: nth(netip.MustParseAddr("10.128.0.0"), n), Node: fmt.Sprintf("node-%d", n%100), Zone: "zone-a",
			PodUID: fmt.Sprintf("%08x-90ab-cdef-1234-567890abcdef", n), Ready: true, Serving: true,
		})
	}
	return s
}
