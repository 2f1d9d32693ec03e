package apiserver

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/identity"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/etcd/embedded"
)

// Config describes an API server.
type Config struct {
	// Cluster is what this cluster says of itself.
	Cluster clustermesh.Cluster
	// Node is where this API server runs: its name among the candidates.
	Node string
	// Version is this program's, for the status.
	Version string
	// IdentityLabels are rules that follow identity.DefaultRules: which labels
	// of pods and namespaces count for identities.
	IdentityLabels []string
	// IdentityWait is how long, after the store was lost, no identity is given
	// out while agents have not said which they use; see relearning.
	IdentityWait time.Duration
	// CordonDrains: a node that is cordoned counts as draining.
	CordonDrains bool
	// Addresses says how load-balancer addresses are given out.
	Addresses AddressConfig
	// Shrink guards against a source that lost its contents.
	Shrink source.Shrink
	// Store is the cluster's etcd.
	Store Store
}

// Store says where the cluster's etcd is: in this process, or elsewhere.
type Store struct {
	// Dir is the data directory of the embedded server, and Listen its URLs.
	Dir    string
	Listen []string
	// ServerTLS are the certificate of the embedded server, and the CA of its
	// clients.
	ServerTLS etcd.TLSFiles
	// Cluster names the members of an embedded store that several API servers
	// keep together; empty for one. Its Root is ClientTLS.
	Cluster embedded.Cluster
	// Endpoints are the URLs of an external store; with them nothing is embedded.
	Endpoints []string
	// ClientTLS authenticates us to either; its common name is root.
	ClientTLS etcd.TLSFiles
}

// Embedded says whether the store runs in this process.
func (s Store) Embedded() bool { return len(s.Endpoints) == 0 }

// server returns the configuration of the embedded server.
func (s Store) server() embedded.Config {
	cluster := s.Cluster
	if !cluster.Empty() {
		cluster.Root = s.ClientTLS
	}
	return embedded.Config{
		Dir: s.Dir, Listen: s.Listen, TLS: s.ServerTLS, Cluster: cluster,
		EpochKey: clustermesh.EpochKey, Users: embedded.Tombolo(clustermesh.Root),
	}
}

// client returns the configuration of a client.
func (s Store) client() (etcd.Config, error) {
	cfg := etcd.Config{Endpoints: s.Endpoints}
	if s.Embedded() {
		cfg.Endpoints = embedded.Local(s.Listen)
	}
	if s.ClientTLS.Empty() {
		return cfg, nil
	}
	var err error
	cfg.TLS, err = s.ClientTLS.Client()
	return cfg, err
}

// Validate returns every mistake of the configuration.
func (c Config) Validate() error {
	var errs []error
	self := c.Cluster
	if err := clustermesh.Validate(clustermesh.KeyOf(clustermesh.Export, &self), &self); err != nil {
		errs = append(errs, fmt.Errorf("the cluster: %w (see --cluster-name, --cluster-id and the CIDRs' flags)", err))
	}
	if len(c.Cluster.PodCIDRs) == 0 || len(c.Cluster.NodeCIDRs) == 0 {
		errs = append(errs, errors.New("the cluster's pod and node CIDRs are missing, which other clusters check their own against: give --pod-cidr and --node-cidr"))
	}
	if c.Node == "" {
		errs = append(errs, errors.New("the node's name is missing: give --node-name"))
	}
	if c.Shrink.Hold < 0 {
		errs = append(errs, fmt.Errorf("the hold time %v is negative", c.Shrink.Hold))
	}
	if c.IdentityWait < 0 {
		errs = append(errs, fmt.Errorf("the wait for identities %v is negative", c.IdentityWait))
	}
	if c.Addresses.Rest < 0 || c.Addresses.Rest > 24*time.Hour {
		errs = append(errs, fmt.Errorf("addresses rest for %v: want 0 to 24h", c.Addresses.Rest))
	}
	if _, err := c.identity(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, c.Store.Validate())...)
}

// identity returns the configuration of the registry of identities.
func (c Config) identity() (identity.Config, error) {
	filter, err := identity.NewFilter(slices.Concat(identity.DefaultRules, c.IdentityLabels)...)
	return identity.Config{Cluster: c.Cluster.Name, ID: c.Cluster.ID, Filter: filter, Grace: identityGrace}, err
}

// Validate returns every mistake of the configuration.
func (s Store) Validate() error {
	if s.Embedded() {
		err := s.server().Validate()
		if !s.ServerTLS.Empty() && s.ClientTLS.Empty() {
			err = errors.Join(err, errors.New("the embedded store asks for certificates: a client certificate for root is needed"))
		}
		return err
	}
	var errs []error
	if s.Dir != "" || len(s.Listen) > 0 || !s.Cluster.Empty() {
		errs = append(errs, errors.New("a store is either embedded (data directory, listen address, members) or external (endpoints), not both"))
	}
	if err := (etcd.Config{Endpoints: s.Endpoints}).Validate(); err != nil {
		errs = append(errs, err)
	}
	if s.ClientTLS.Empty() && slices.ContainsFunc(s.Endpoints, func(e string) bool { return strings.HasPrefix(e, "https://") }) {
		errs = append(errs, errors.New("https endpoints need a CA, a certificate and a key"))
	}
	return errors.Join(errs...)
}
