package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
)

// sayAfter is how long a start may take before the log says what it waits for.
const sayAfter = 5 * time.Second

// launch starts an etcd and waits until it can serve.
func launch(ctx context.Context, ec *embed.Config, log *slog.Logger) (*embed.Etcd, error) {
	e, err := embed.StartEtcd(ec)
	if err != nil {
		return nil, fmt.Errorf("starting etcd in %s: %w", ec.Dir, err)
	}
	late := time.AfterFunc(sayAfter, func() {
		log.Warn("etcd does not serve yet: it waits for a majority of its members", "member", ec.Name)
	})
	defer late.Stop()
	select {
	case <-e.Server.ReadyNotify():
		return e, nil
	case err = <-e.Err():
	case <-e.Server.StopNotify():
		err = errors.New("it stopped by itself; if the others removed this member, move its data directory away and it joins anew")
	case <-ctx.Done():
		err = ctx.Err()
	}
	e.Server.Stop() // Close alone would wait for listeners that wait for the server
	e.Close()
	return nil, fmt.Errorf("starting etcd in %s: %w", ec.Dir, err)
}

// memberName and peerURL name a store's only member in its own records; nothing
// listens there.
const (
	memberName = "tombolo"
	peerURL    = "http://127.0.0.1:2380"
)

// embed returns etcd's own configuration, with these addresses for clients.
// Without any it listens to nobody.
func (c Config) embed(log *slog.Logger, listen []string) (*embed.Config, error) {
	ec := embed.NewConfig()
	ec.Dir = c.Dir
	var err error
	if ec.ListenClientUrls, err = parsed(listen); err != nil {
		return nil, err
	}
	ec.AdvertiseClientUrls = ec.ListenClientUrls
	if len(listen) > 0 {
		// Without a listener of its own for HTTP, gRPC would be served through
		// net/http, which is several times slower. An abstract socket has no
		// file, whose path may be too long and which a killed process leaves.
		ec.ListenClientHttpUrls = []url.URL{{Scheme: "unix", Path: "@tombolo-etcd-" + rand.Text()}}
	}
	if !c.TLS.Empty() {
		ec.ClientTLSInfo = transport.TLSInfo{
			CertFile: c.TLS.Cert, KeyFile: c.TLS.Key, TrustedCAFile: c.TLS.CA, ClientCertAuth: true,
		}
	}
	ec.EnableGRPCGateway = false
	ec.QuotaBackendBytes = defaulted(c.Quota, 4<<30)
	ec.MaxRequestBytes = 4 << 20
	ec.AutoCompactionMode = embed.CompactorModePeriodic
	ec.AutoCompactionRetention = defaulted(c.History, 10*time.Minute).String()
	// So that the readers of a quiet table know a revision that is not compacted.
	ec.WatchProgressNotifyInterval = 15 * time.Second
	ec.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zapLogger(log))
	return ec, c.among(ec, log)
}

// among gives etcd's configuration this member's name and URLs.
func (c Config) among(ec *embed.Config, log *slog.Logger) (err error) {
	ec.ListenPeerUrls = nil
	name, own := c.Cluster.Name, c.Cluster.url()
	if c.Cluster.Empty() {
		name, own = memberName, peerURL
	}
	ec.Name, ec.InitialCluster = name, name+"="+own
	if ec.AdvertisePeerUrls, err = parsed([]string{own}); err != nil {
		return err
	}
	if len(c.Cluster.Members) <= 1 || len(ec.ListenClientUrls) == 0 {
		// A store that has one member, or is being founded by one, has nobody
		// to wait for.
		ec.TickMs, ec.ElectionMs = 20, 200
	}
	if c.Cluster.Empty() || len(ec.ListenClientUrls) == 0 {
		return nil
	}
	at, err := c.Cluster.listen()
	if err != nil {
		return err
	}
	ec.ListenPeerUrls = []url.URL{at}
	urls, err := c.Cluster.advertised(c.Listen)
	if err != nil {
		return err
	}
	if ec.AdvertiseClientUrls, err = parsed(urls); err != nil {
		return err
	}
	if !c.TLS.Empty() {
		ec.PeerTLSInfo, err = c.peerTLS(log)
	}
	return err
}

// parsed parses URLs.
func parsed(in []string) ([]url.URL, error) {
	var out []url.URL
	for _, s := range in {
		u, err := url.Parse(s)
		if err != nil {
			return nil, fmt.Errorf("configuring etcd: %w", err)
		}
		out = append(out, *u)
	}
	return out, nil
}
