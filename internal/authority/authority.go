// Package authority makes certificate authorities for labs and tests, and
// signs certificates with them, each into files of its own.
package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"time"
)

// lifetime is longer than any lab lives.
const lifetime = 365 * 24 * time.Hour

// Authority signs certificates.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Leaf says for whom a certificate is.
type Leaf struct {
	// Name is the common name, and Groups are the organisations: what
	// Kubernetes takes for a user and its groups, etcd the name alone.
	Name   string
	Groups []string
	// Addresses and Hosts are a server's; without either it is a client's
	// certificate alone.
	Addresses []netip.Addr
	Hosts     []string
}

// New makes an authority of this name.
func New(name string) (Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Authority{}, fmt.Errorf("making the authority %s: %w", name, err)
	}
	template := valid(pkix.Name{CommonName: name})
	template.KeyUsage = x509.KeyUsageCertSign
	template.IsCA, template.BasicConstraintsValid = true, true
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return Authority{}, fmt.Errorf("making the authority %s: %w", name, err)
	}
	cert, err := x509.ParseCertificate(raw)
	return Authority{cert, key}, err
}

// Open reads an authority whose certificate and key were saved.
func Open(certFile, keyFile string) (Authority, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return Authority{}, fmt.Errorf("opening an authority: %w", err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return Authority{}, fmt.Errorf("opening an authority: %s holds no ECDSA key", keyFile)
	}
	return Authority{pair.Leaf, key}, nil
}

// Save writes the certificate, by which others know what the authority signed.
func (a Authority) Save(certFile string) error {
	return write(certFile, "CERTIFICATE", a.cert.Raw)
}

// SaveKey writes the key, for those who want to sign more later.
func (a Authority) SaveKey(keyFile string) error { return writeKey(keyFile, a.key) }

// Issue signs a certificate and writes it and its key.
func (a Authority) Issue(l Leaf, certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making a key for %s: %w", l.Name, err)
	}
	raw, err := x509.CreateCertificate(rand.Reader, l.template(), a.cert, key.Public(), a.key)
	if err != nil {
		return fmt.Errorf("signing the certificate of %s: %w", l.Name, err)
	}
	return errors.Join(writeKey(keyFile, key), write(certFile, "CERTIFICATE", raw))
}

func (l Leaf) template() *x509.Certificate {
	t := valid(pkix.Name{CommonName: l.Name, Organization: l.Groups})
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(l.Addresses) > 0 || len(l.Hosts) > 0 {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, a := range l.Addresses {
		t.IPAddresses = append(t.IPAddresses, a.AsSlice())
	}
	t.DNSNames = l.Hosts
	return t
}

// valid is a certificate that holds from an hour ago, with a number of its own.
func valid(subject pkix.Name) *x509.Certificate {
	var serial [16]byte
	rand.Read(serial[:]) // never fails: crypto/rand ends the program instead
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial[:]), Subject: subject,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lifetime),
	}
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("writing a key: %w", err)
	}
	return write(path, "PRIVATE KEY", der)
}

func write(path, kind string, der []byte) error {
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		return fmt.Errorf("writing a certificate: %w", err)
	}
	return nil
}
