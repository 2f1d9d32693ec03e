package etcdtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tombolo.io/tombolo/etcd"
)

// CA signs the certificates of a test.
type CA struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewCA returns a new authority, whose files are in a directory of the test.
func NewCA(t testing.TB) *CA {
	t.Helper()
	ca := &CA{t: t, dir: t.TempDir()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	ca.cert = template
	ca.cert, ca.key = ca.sign(template, "ca")
	return ca
}

// Issue returns the files of a certificate with this common name, good for
// clients and for servers on 127.0.0.1.
func (ca *CA) Issue(name string) etcd.TLSFiles {
	ca.t.Helper()
	ca.sign(&x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, name)
	return etcd.TLSFiles{CA: ca.file("ca.crt"), Cert: ca.file(name + ".crt"), Key: ca.file(name + ".key")}
}

func (ca *CA) file(name string) string { return filepath.Join(ca.dir, name) }

// sign makes a key, signs the certificate with the authority's, or with its
// own when that is the authority's first, and writes both.
func (ca *CA) sign(template *x509.Certificate, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	ca.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ca.must(err)
	signer := ca.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, signer)
	ca.must(err)
	cert, err := x509.ParseCertificate(der)
	ca.must(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	ca.must(err)
	ca.must(os.WriteFile(ca.file(name+".crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	ca.must(os.WriteFile(ca.file(name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	return cert, key
}

func (ca *CA) must(err error) {
	ca.t.Helper()
	if err != nil {
		ca.t.Fatal(err)
	}
}
