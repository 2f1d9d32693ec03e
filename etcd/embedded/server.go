// Package embedded runs an etcd server in this process: one member, with a
// data directory, mutual TLS, and roles by the common name of the client's
// certificate.
//
// A new store is initialised before it listens: it gets its epoch, its roles
// and users, and authentication is switched on. So there is no moment in which
// a client could connect to a store that does not ask who it is. The same
// happens to a store that was restored from a snapshot.
package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"

	"tombolo.io/tombolo/etcd"
)

// Config describes a server.
type Config struct {
	// Dir is the data directory; it is made if need be.
	Dir string
	// Listen are the URLs on which clients are served, by address.
	Listen []string
	// TLS are the server's certificate and the CA of its clients. Without it
	// Listen must be http, nobody is authenticated, and everybody may do all.
	TLS etcd.TLSFiles
	// EpochKey is where a new or restored store gets its epoch.
	EpochKey string
	// Users may use the store, beside root, who may do all.
	Users []User
	// Quota bounds the store's size in bytes; 4 GiB by default.
	Quota int64
	// History is how long old revisions are kept; 10 minutes by default.
	History time.Duration
}

// Validate reports every mistake of the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("the data directory is missing: give --data-dir"))
	}
	if len(c.Listen) == 0 {
		errs = append(errs, errors.New("the address to listen on is missing: give --etcd-listen"))
	}
	if !c.TLS.Empty() && (c.TLS.CA == "" || c.TLS.Cert == "" || c.TLS.Key == "") {
		errs = append(errs, errors.New("of CA, certificate and key some are not given"))
	}
	for _, s := range c.Listen {
		u, err := url.Parse(s)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("address to listen on: %w", err))
		case u.Scheme == "https" && c.TLS.Empty():
			errs = append(errs, fmt.Errorf("listening on %s needs CA, certificate and key", s))
		case u.Scheme == "http" && !c.TLS.Empty():
			errs = append(errs, fmt.Errorf("listening on %s would not ask for certificates: use https", s))
		case u.Scheme != "https" && u.Scheme != "http":
			errs = append(errs, fmt.Errorf("address to listen on %q is neither https:// nor http://", s))
		}
	}
	if c.EpochKey == "" {
		errs = append(errs, errors.New("the key of the epoch is not given"))
	}
	return errors.Join(errs...)
}

// Server is a running server.
type Server struct {
	etcd *embed.Etcd
	stop sync.Once
	// cancel ends work, which is what looks after the store.
	cancel context.CancelFunc
	work   sync.WaitGroup
	// mu guards what follows: etcd registers its servers from the goroutines
	// that serve, which may come after Stop.
	mu      sync.Mutex
	grpc    []*grpc.Server
	stopped bool
}

// Start starts the server and returns when it serves. The store is created or
// its initialisation completed if need be.
func Start(ctx context.Context, cfg Config, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configuring etcd: %w", err)
	}
	if err := initialise(ctx, cfg, log); err != nil {
		return nil, err
	}
	s := &Server{}
	ec, err := cfg.embed(log, cfg.Listen)
	if err != nil {
		return nil, err
	}
	ec.ServiceRegister = s.register
	if s.etcd, err = launch(ctx, ec); err != nil {
		return nil, err
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	r := &room{server: s.etcd.Server, quota: ec.QuotaBackendBytes, log: log}
	s.work.Go(func() { r.run(work) })
	return s, nil
}

// Err returns a channel on which an error of a listener comes, after which
// the server is of no use.
func (s *Server) Err() <-chan error { return s.etcd.Err() }

// Stop ends the server: every connection is cut, what was confirmed is on disk.
func (s *Server) Stop() {
	s.stop.Do(func() {
		s.mu.Lock()
		servers := s.grpc
		s.stopped = true
		s.mu.Unlock()
		// Watches never end by themselves, and etcd waits for them for seconds.
		for _, g := range servers {
			g.Stop()
		}
		s.cancel()
		s.work.Wait()
		s.etcd.Close()
	})
}

// register takes note of a server that is about to serve.
func (s *Server) register(g *grpc.Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		g.Stop()
		return
	}
	s.grpc = append(s.grpc, g)
}

// launch starts an etcd and waits until it can serve.
func launch(ctx context.Context, ec *embed.Config) (*embed.Etcd, error) {
	e, err := embed.StartEtcd(ec)
	if err != nil {
		return nil, fmt.Errorf("starting etcd in %s: %w", ec.Dir, err)
	}
	select {
	case <-e.Server.ReadyNotify():
		return e, nil
	case err = <-e.Err():
	case <-e.Server.StopNotify():
		err = errors.New("it stopped by itself")
	case <-ctx.Done():
		err = ctx.Err()
	}
	e.Close()
	return nil, fmt.Errorf("starting etcd in %s: %w", ec.Dir, err)
}

// memberName and peerURL name the one member in its own records; nothing
// listens there.
const (
	memberName = "tombolo"
	peerURL    = "http://127.0.0.1:2380"
)

// embed returns etcd's own configuration, with these addresses for clients.
func (c Config) embed(log *slog.Logger, listen []string) (*embed.Config, error) {
	ec := embed.NewConfig()
	ec.Name = memberName
	ec.Dir = c.Dir
	peer, err := url.Parse(peerURL)
	if err != nil {
		return nil, fmt.Errorf("configuring etcd: %w", err)
	}
	ec.ListenPeerUrls = nil
	ec.AdvertisePeerUrls = []url.URL{*peer}
	ec.InitialCluster = memberName + "=" + peerURL
	ec.ListenClientUrls, ec.AdvertiseClientUrls = nil, nil
	for _, s := range listen {
		u, err := url.Parse(s)
		if err != nil {
			return nil, fmt.Errorf("configuring etcd: %w", err)
		}
		ec.ListenClientUrls = append(ec.ListenClientUrls, *u)
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
	// One member has nobody to wait for.
	ec.TickMs, ec.ElectionMs = 20, 200
	ec.QuotaBackendBytes = defaulted(c.Quota, 4<<30)
	ec.MaxRequestBytes = 4 << 20
	ec.AutoCompactionMode = embed.CompactorModePeriodic
	ec.AutoCompactionRetention = defaulted(c.History, 10*time.Minute).String()
	// So that the readers of a quiet table know a revision that is not compacted.
	ec.WatchProgressNotifyInterval = 15 * time.Second
	ec.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zapLogger(log))
	return ec, nil
}

func defaulted[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// exists says whether there is a file.
func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
