// Package pki gives out the certificates of a lab's clusters: an authority for
// each cluster and, signed by it, one certificate for its etcd and one for
// each user of it. etcd takes the common name for the user's name; a peer
// cluster gets a certificate from the authority of the cluster that it reads.
package pki

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"tombolo.io/tombolo/internal/authority"
)

// The users of a cluster's etcd.
const (
	Root = "root" // the API server and operators
	Node = "node" // agents and speakers
	Peer = "peer" // other clusters
)

// server names the certificate with which etcd itself answers.
const server = "etcd"

// Dir is a directory with the certificates of one cluster.
type Dir string

// CA is the path of the authority's certificate.
func (d Dir) CA() string { return filepath.Join(string(d), "ca.crt") }

// Cert and Key are the paths of a user's certificate and key.
func (d Dir) Cert(user string) string { return filepath.Join(string(d), user+".crt") }

// Key is the path of a user's key.
func (d Dir) Key(user string) string { return filepath.Join(string(d), user+".key") }

// ServerCert and ServerKey are the paths of etcd's own certificate and key.
func (d Dir) ServerCert() string { return d.Cert(server) }

// ServerKey is the path of etcd's own key.
func (d Dir) ServerKey() string { return d.Key(server) }

// Issue makes an authority and writes everything it signs into the directory.
// etcd's certificate holds for these addresses. The authority's key is not
// kept: nothing more will be signed.
func Issue(d Dir, cluster string, addresses []netip.Addr) error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return fmt.Errorf("making the certificates of %s: %w", cluster, err)
	}
	ca, err := authority.New("tombolo lab " + cluster)
	if err != nil {
		return err
	}
	if err := ca.Save(d.CA()); err != nil {
		return err
	}
	for _, name := range []string{server, Root, Node, Peer} {
		leaf := authority.Leaf{Name: name}
		if name == server {
			leaf.Addresses = addresses
		}
		if err := ca.Issue(leaf, d.Cert(name), d.Key(name)); err != nil {
			return fmt.Errorf("making the certificates of %s: %w", cluster, err)
		}
	}
	return nil
}
