package bgp

import (
	"errors"
	"path/filepath"
	"time"

	"tombolo.io/tombolo/etcd"
)

// Config is what a speaker is told when it starts. Everything else it reads
// from the store.
type Config struct {
	// Node is the name of the node it speaks for.
	Node string
	// RunDir is where it keeps its last complete picture and its socket.
	RunDir string
	// MetricsListen is a TCP address for metrics and probes besides the socket, or empty.
	MetricsListen string
	// Store is the cluster's etcd.
	Store etcd.Config
	// Version is reported with the status.
	Version string
	// Final makes an orderly stop end the sessions with a Cease, which has the
	// routers drop all routes at once. Without it a stop looks like a restart,
	// and the routers keep the routes for the restart time (RFC 4724).
	Final bool
	// GracefulShutdown is how long a node that is drained asks its routers to
	// prefer others before it withdraws (RFC 8326); zero withdraws at once.
	GracefulShutdown time.Duration
}

// Validate says what is wrong with the configuration, all of it at once.
func (c Config) Validate() error {
	var errs []error
	if c.Node == "" {
		errs = append(errs, errors.New("the node's name is missing: give --node-name"))
	}
	if c.RunDir == "" {
		errs = append(errs, errors.New("the run directory is missing: give --run-dir"))
	}
	if len(c.Store.Endpoints) == 0 {
		errs = append(errs, errors.New("the cluster's etcd is missing: give --etcd-endpoints"))
	}
	if c.GracefulShutdown < 0 {
		errs = append(errs, errors.New("the time of the graceful shutdown is negative: give --graceful-shutdown 0s or more"))
	}
	return errors.Join(errs...)
}

// savedPath is where the last complete picture lies.
func (c Config) savedPath() string { return filepath.Join(c.RunDir, "speaker-paths.json") }

// localPath is where the last word of the node's agent lies.
func (c Config) localPath() string { return filepath.Join(c.RunDir, "speaker-agent.json") }
