package census

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Both sides show a certificate that they signed themselves with the key of their
// cluster's seal. Of it the key alone counts, which the other side knows from the
// mirror; TLS 1.3 proves that who shows it holds the private half.

// errSeal is of who does not hold the key that it should.
var errSeal = errors.New("it does not prove to be of its cluster: its seal is another than the mirror says")

// certify makes a certificate of a seal.
func certify(key ed25519.PrivateKey) (tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Unix(0, 0), NotAfter: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), // nobody looks
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making a certificate of the cluster's seal: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, nil
}

// prove is what both sides of a connection ask for: our certificate is shown, and
// the other's must have the key.
func prove(own tls.Certificate, theirs ed25519.PublicKey) *tls.Config {
	return &tls.Config{
		Certificates:           []tls.Certificate{own},
		MinVersion:             tls.VersionTLS13,
		ClientAuth:             tls.RequireAnyClientCert,
		SessionTicketsDisabled: true,
		InsecureSkipVerify:     true, // there is no authority: VerifyConnection compares the key
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return errSeal
			}
			key, ok := s.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
			if !ok || !key.Equal(theirs) {
				return errSeal
			}
			return nil
		},
	}
}
