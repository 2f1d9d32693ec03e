// Package embedded runs an etcd server in this process: the only member of a
// store or one of several, with a data directory, mutual TLS, and roles by the
// common name of the client's certificate.
//
// A new store is initialised before it listens: it gets its epoch, its roles
// and users, and authentication is switched on. So there is no moment in which
// a client could connect to a store that does not ask who it is. The same
// happens to a store that was restored from a snapshot. Of several members one
// founds the store so, once all are there and have nothing; the others join it,
// as does later one that lost its disk.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"time"

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
	// Cluster names the other members, if there are some.
	Cluster Cluster
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
		errs = append(errs, errors.New("certificates are incomplete: give all of --etcd-server-cert, --etcd-server-key and --tls-ca"))
	}
	for _, s := range c.Listen {
		u, err := url.Parse(s)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("address to listen on: %w", err))
		case u.Scheme == "https" && c.TLS.Empty():
			errs = append(errs, fmt.Errorf("listening on %s needs certificates: give --etcd-server-cert, --etcd-server-key and --tls-ca", s))
		case u.Scheme == "http" && !c.TLS.Empty():
			errs = append(errs, fmt.Errorf("listening on %s would not ask for certificates: use https", s))
		case u.Scheme != "https" && u.Scheme != "http":
			errs = append(errs, fmt.Errorf("address to listen on %q is neither https:// nor http://", s))
		}
	}
	if c.EpochKey == "" {
		errs = append(errs, errors.New("the key of the epoch is not given"))
	}
	return errors.Join(append(errs, c.Cluster.validate(!c.TLS.Empty()))...)
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
// its initialisation completed if need be; one of several members waits until a
// majority of them is there, and a new store until all are.
func Start(ctx context.Context, cfg Config, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configuring etcd: %w", err)
	}
	joins, err := cfg.settle(ctx, log)
	if err != nil {
		return nil, err
	}
	s := &Server{}
	ec, err := cfg.embed(log, cfg.Listen)
	if err != nil {
		return nil, err
	}
	if joins != nil {
		ec.ClusterState, ec.InitialCluster = embed.ClusterStateFlagExisting, joins.cluster
	}
	ec.ServiceRegister = s.register
	if s.etcd, err = launch(ctx, ec, log); err != nil {
		return nil, err
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	if !cfg.Cluster.Empty() {
		if err := attend(ctx, cfg, s.etcd.Server); err != nil {
			s.Stop()
			return nil, fmt.Errorf("starting etcd in %s: %w", ec.Dir, err)
		}
	}
	r := &room{server: s.etcd.Server, quota: ec.QuotaBackendBytes, log: log}
	s.work.Go(func() { r.run(work) })
	return s, nil
}

// settle sees to it that there is data to start with, or returns how a member
// without any joins others.
func (c Config) settle(ctx context.Context, log *slog.Logger) (*invitation, error) {
	if c.Cluster.Empty() {
		return nil, initialise(ctx, c, log)
	}
	return settle(ctx, c, log)
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
