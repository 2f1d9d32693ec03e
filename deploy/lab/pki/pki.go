// Package pki gives out the certificates of a lab's clusters: an authority for
// each cluster and, signed by it, one certificate for its etcd and one for
// each user of it. etcd takes the common name for the user's name; a peer
// cluster gets a certificate from the authority of the cluster that it reads.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// The users of a cluster's etcd.
const (
	Root = "root" // the API server and operators
	Node = "node" // agents and speakers
	Peer = "peer" // other clusters
)

// server names the certificate with which etcd itself answers.
const server = "etcd"

// lifetime is longer than any lab lives.
const lifetime = 365 * 24 * time.Hour

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
	ca, err := newAuthority(cluster)
	if err != nil {
		return fmt.Errorf("making the authority of %s: %w", cluster, err)
	}
	if err := writePEM(d.CA(), "CERTIFICATE", ca.cert.Raw); err != nil {
		return err
	}
	for _, name := range []string{server, Root, Node, Peer} {
		template := leaf(name)
		if name == server {
			template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
			for _, a := range addresses {
				template.IPAddresses = append(template.IPAddresses, a.AsSlice())
			}
		}
		if err := ca.sign(d, name, template); err != nil {
			return fmt.Errorf("signing the certificate of %s in %s: %w", name, cluster, err)
		}
	}
	return nil
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(cluster string) (authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, err
	}
	template := leaf("tombolo lab " + cluster)
	template.ExtKeyUsage = nil
	template.KeyUsage = x509.KeyUsageCertSign
	template.IsCA, template.BasicConstraintsValid = true, true
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return authority{}, err
	}
	cert, err := x509.ParseCertificate(raw)
	return authority{cert, key}, err
}

// leaf is a certificate of a client, valid from an hour ago.
func leaf(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(lifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return new(big.Int).SetBytes(b[:])
}

func (ca authority) sign(d Dir, name string, template *x509.Certificate) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writePEM(d.Key(name), "PRIVATE KEY", der); err != nil {
		return err
	}
	return writePEM(d.Cert(name), "CERTIFICATE", raw)
}

func writePEM(path, kind string, der []byte) error {
	raw := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		return fmt.Errorf("writing a certificate: %w", err)
	}
	return nil
}
