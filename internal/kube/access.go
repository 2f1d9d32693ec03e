package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"strings"

	"tombolo.io/tombolo/internal/authority"
)

// Access is how a user reaches the API. All but URL are paths of files.
type Access struct {
	URL           string
	CA, Cert, Key string
	// Kubeconfig holds all of the above: client-go and kubectl need nothing else.
	Kubeconfig string
}

// Access returns how a user reaches the API whose certificate was issued.
func (p Plane) Access(user string) Access {
	name := strings.ReplaceAll(user, ":", "-")
	return Access{URL: p.URL(), CA: p.file("ca.crt"),
		Cert: p.file(name + ".crt"), Key: p.file(name + ".key"), Kubeconfig: p.file(name + ".kubeconfig")}
}

// Issue signs the certificate of a user and writes its kubeconfig. A service
// account is the user system:serviceaccount:NAMESPACE:NAME.
func (p Plane) Issue(user string, groups ...string) (Access, error) {
	a := p.Access(user)
	ca, err := authority.Open(p.file("ca.crt"), p.file("ca.key"))
	if err != nil {
		return a, err
	}
	if err := ca.Issue(authority.Leaf{Name: user, Groups: groups}, a.Cert, a.Key); err != nil {
		return a, err
	}
	raw, err := a.kubeconfig(user)
	if err == nil {
		err = os.WriteFile(a.Kubeconfig, raw, 0o600)
	}
	if err != nil {
		return a, fmt.Errorf("writing the kubeconfig of %s: %w", user, err)
	}
	return a, nil
}

// kubeconfig returns a file of its own: it holds certificates, not their paths.
func (a Access) kubeconfig(user string) ([]byte, error) {
	var encoded [3]string
	for i, path := range []string{a.CA, a.Cert, a.Key} {
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		encoded[i] = base64.StdEncoding.EncodeToString(raw)
	}
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: tombolo
contexts:
- name: tombolo
  context: {cluster: tombolo, user: %q}
clusters:
- name: tombolo
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: %q
  user:
    client-certificate-data: %s
    client-key-data: %s
`, user, a.URL, encoded[0], user, encoded[1], encoded[2]), nil
}

// Client returns an HTTP client that is this user, for those who have no
// client of Kubernetes.
func (a Access) Client() (*http.Client, error) {
	raw, err := os.ReadFile(a.CA)
	if err != nil {
		return nil, fmt.Errorf("reading the authority of %s: %w", a.URL, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("reading the authority of %s: %s holds no certificate", a.URL, a.CA)
	}
	cert, err := tls.LoadX509KeyPair(a.Cert, a.Key)
	if err != nil {
		return nil, fmt.Errorf("reading a user's certificate: %w", err)
	}
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}}, ForceAttemptHTTP2: true,
	}}, nil
}

// Serves asks once, as the user of a client, for a page that must be there.
func Serves(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("asking for %s: %s", url, resp.Status)
	}
	return nil
}
