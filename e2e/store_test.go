package e2e

import (
	"context"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/deploy/lab/pki"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/etcd/embedded"
)

// etcdProgram is an etcd that belongs to no API server.
func etcdProgram() {
	if len(os.Args) != 3 {
		exit("usage: etcd URL DIR")
	}
	ctx := untilSignal()
	cfg := embedded.Config{Dir: os.Args[2], Listen: os.Args[1:2], EpochKey: clustermesh.EpochKey}
	s, err := embedded.Start(ctx, cfg, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		exit(err)
	}
	defer s.Stop()
	select {
	case <-ctx.Done():
	case err := <-s.Err():
		exit(err)
	}
}

// memberProgram is one of the members of an etcd, with TLS towards its clients
// and the others, as somebody would run it who knows nothing of Tombolo.
func memberProgram() {
	if len(os.Args) < 5 {
		exit("usage: member NAME DIR PKI NAME=ADDRESS...")
	}
	cfg, certificates := embed.NewConfig(), pki.Dir(os.Args[3])
	cfg.Name, cfg.Dir, cfg.LogLevel = os.Args[1], os.Args[2], "error"
	cfg.ClientTLSInfo = transport.TLSInfo{CertFile: certificates.ServerCert(), KeyFile: certificates.ServerKey(),
		TrustedCAFile: certificates.CA(), ClientCertAuth: true}
	cfg.PeerTLSInfo = cfg.ClientTLSInfo
	var members []string
	for _, m := range os.Args[4:] {
		name, address, _ := strings.Cut(m, "=")
		peer := url.URL{Scheme: "https", Host: address + ":2380"}
		members = append(members, name+"="+peer.String())
		if name == cfg.Name {
			cfg.ListenPeerUrls, cfg.ListenClientUrls = []url.URL{peer}, []url.URL{{Scheme: "https", Host: address + ":2379"}}
			cfg.AdvertisePeerUrls, cfg.AdvertiseClientUrls = cfg.ListenPeerUrls, cfg.ListenClientUrls
		}
	}
	cfg.InitialCluster = strings.Join(members, ",")
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		exit(err)
	}
	defer e.Close()
	select {
	case <-untilSignal().Done():
	case err := <-e.Err():
		exit(err)
	}
}

// putProgram writes what nobody should have written, to the store that lab exec
// names in the environment.
func putProgram() {
	if len(os.Args) != 3 {
		exit("usage: put KEY VALUE")
	}
	files := etcd.TLSFiles{CA: os.Getenv("TOMBOLO_TLS_CA"), Cert: os.Getenv("TOMBOLO_TLS_CERT"), Key: os.Getenv("TOMBOLO_TLS_KEY")}
	config, err := files.Client()
	if err != nil {
		exit(err)
	}
	c, err := etcd.Dial(etcd.Config{Endpoints: []string{os.Getenv("TOMBOLO_ETCD_ENDPOINTS")}, TLS: config})
	if err != nil {
		exit(err)
	}
	defer c.Close()
	if err := c.Put(context.Background(), clustermesh.Root+os.Args[1], []byte(os.Args[2])); err != nil {
		exit(err)
	}
}

// certificatesProgram makes what a cluster has that no lab has made.
func certificatesProgram() {
	if len(os.Args) < 4 {
		exit("usage: certificates DIR CLUSTER ADDRESS...")
	}
	var addresses []netip.Addr
	for _, s := range os.Args[3:] {
		a, err := netip.ParseAddr(s)
		if err != nil {
			exit(err)
		}
		addresses = append(addresses, a)
	}
	if err := pki.Issue(pki.Dir(os.Args[1]), os.Args[2], addresses); err != nil {
		exit(err)
	}
}
