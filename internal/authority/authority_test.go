package authority

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

// One that was saved and opened signs what the first one's certificate proves,
// and a client's certificate is no server's.
func TestOpened(t *testing.T) {
	file := func(name string) string { return filepath.Join(t.TempDir(), name) }
	cert, key, leafCert, leafKey := file("ca.crt"), file("ca.key"), file("leaf.crt"), file("leaf.key")
	first, err := New("first")
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Save(cert); err != nil {
		t.Fatal(err)
	}
	if err := first.SaveKey(key); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(raw)
	opened, err := Open(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		leaf   Leaf
		host   string
		usage  x509.ExtKeyUsage
		proved bool
	}{
		{Leaf{Name: "u"}, "", x509.ExtKeyUsageClientAuth, true},
		{Leaf{Name: "u"}, "", x509.ExtKeyUsageServerAuth, false},
		{Leaf{Name: "s", Hosts: []string{"localhost"}}, "localhost", x509.ExtKeyUsageServerAuth, true},
		{Leaf{Name: "s", Addresses: []netip.Addr{netip.MustParseAddr("fd00::1")}}, "fd00::1", x509.ExtKeyUsageServerAuth, true},
		{Leaf{Name: "s", Addresses: []netip.Addr{netip.MustParseAddr("fd00::1")}}, "fd00::2", x509.ExtKeyUsageServerAuth, false},
	} {
		if err := opened.Issue(c.leaf, leafCert, leafKey); err != nil {
			t.Fatal(err)
		}
		pair, err := tls.LoadX509KeyPair(leafCert, leafKey)
		if err != nil {
			t.Fatal(err)
		}
		_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: c.host, KeyUsages: []x509.ExtKeyUsage{c.usage}})
		if (err == nil) != c.proved {
			t.Errorf("%+v for %q: %v", c.leaf, c.host, err)
		}
	}
	if _, err := Open(leafCert, key); err == nil {
		t.Error("a key of another certificate is taken")
	}
}
