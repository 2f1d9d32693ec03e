package kube

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func plane(t *testing.T) Plane {
	t.Helper()
	p := Plane{Dir: filepath.Join(t.TempDir(), "kube"), Listen: netip.MustParseAddrPort("127.0.0.1:6443"), Etcd: "http://127.0.0.1:2379",
		Services: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("fd00:96::/112")}, Audit: true}
	if err := p.Write(); err != nil {
		t.Fatal(err)
	}
	return p
}

// Every file that an argument names is there and is private.
func TestFilesOfTheArguments(t *testing.T) {
	p := plane(t)
	var files int
	for _, arg := range slices.Concat(p.APIServer(), p.ControllerManager()) {
		name, value, _ := strings.Cut(arg, "=")
		if !strings.HasPrefix(value, p.Dir) || value == p.AuditLog() {
			continue
		}
		files++
		if st, err := os.Stat(value); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
	if files != 8 {
		t.Errorf("%d files are named", files)
	}
}

// A user is who the certificate says, and its kubeconfig holds the same.
func TestAccess(t *testing.T) {
	p := plane(t)
	pair, err := tls.LoadX509KeyPair(p.file("server.crt"), p.file("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	var subject string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		subject = r.TLS.PeerCertificates[0].Subject.String()
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	defer server.Close()

	a, err := p.Issue("system:serviceaccount:ns:name", "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	client, err := a.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	resp, err := client.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if subject != "CN=system:serviceaccount:ns:name,O=a+O=b" {
		t.Errorf("the server sees %q", subject)
	}
	raw, err := os.ReadFile(a.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := os.ReadFile(a.Cert)
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Users []struct {
			User struct {
				Cert []byte `json:"client-certificate-data"`
			}
		}
	}
	if err := yaml.Unmarshal(raw, &config); err != nil || string(config.Users[0].User.Cert) != string(cert) {
		t.Errorf("the kubeconfig is another's: %v\n%s", err, raw)
	}
}

func TestProgramMissing(t *testing.T) {
	_, err := Program(t.TempDir(), APIServer)
	if err == nil || !strings.Contains(err.Error(), "make kube") {
		t.Errorf("%v does not say what builds it", err)
	}
}

func TestRequests(t *testing.T) {
	p := plane(t)
	if got, err := p.Requests(); err != nil || len(got) != 0 {
		t.Errorf("before any request: %v, %v", got, err)
	}
	lines := `{"stage":"ResponseStarted","requestURI":"/api/v1/nodes?watch=true","verb":"watch","user":{"username":"u"},"objectRef":{"resource":"nodes","apiVersion":"v1"},"responseStatus":{"code":200}}
{"stage":"ResponseComplete","requestURI":"/version","verb":"get","user":{"username":"other"},"responseStatus":{"code":200}}
{"stage":"ResponseComplete","requestURI":"/apis/discovery.k8s.io/v1/namespaces/a/endpointslices/s","verb":"update","user":{"username":"u"},"objectRef":{"resource":"endpointslices","namespace":"a","name":"s","apiGroup":"discovery.k8s.io"},"responseStatus":{"code":409}}
{"stage":"Resp`
	if err := os.WriteFile(p.AuditLog(), []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := p.Requests("u")
	want := []Request{
		{User: "u", Verb: "watch", Resource: "nodes", Path: "/api/v1/nodes?watch=true", Code: 200},
		{User: "u", Verb: "update", Group: "discovery.k8s.io", Resource: "endpointslices", Namespace: "a", Name: "s",
			Path: "/apis/discovery.k8s.io/v1/namespaces/a/endpointslices/s", Code: 409},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := os.WriteFile(p.AuditLog(), []byte("no event\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Requests(); err == nil {
		t.Error("a line that is no event is read")
	}
	p.Audit, p.Dir = false, t.TempDir()
	if _, err := p.Requests(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without an audit: %v", err)
	}
}
