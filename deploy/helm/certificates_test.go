package helm

import (
	"crypto/x509"
	"encoding/pem"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/fake"
)

const generated = `certificates: {mode: generated}`

// cluster is one that Helm looks into.
type cluster struct{ client dynamic.Interface }

// GetClientFor implements engine.ClientProvider.
func (c cluster) GetClientFor(_, kind string) (dynamic.NamespaceableResourceInterface, bool, error) {
	gvr := schema.GroupVersionResource{Version: "v1", Resource: strings.ToLower(kind) + "s"}
	return c.client.Resource(gvr), kind != "Namespace", nil
}

// clusterWith has these secrets.
func clusterWith(secrets map[string]*unstructured.Unstructured) cluster {
	system := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "kube-system"},
	}}
	all := []runtime.Object{system}
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		all = append(all, secrets[name].DeepCopy())
	}
	kinds := map[schema.GroupVersionResource]string{{Version: "v1", Resource: "secrets"}: "SecretList", {Version: "v1", Resource: "namespaces"}: "NamespaceList"}
	return cluster{fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds, all...)}
}

// secrets renders what a release makes where these secrets are.
func secrets(t *testing.T, have map[string]*unstructured.Unstructured, documents ...string) map[string]*unstructured.Unstructured {
	t.Helper()
	text, err := render(t, clusterWith(have), append([]string{east, generated}, documents...)...)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*unstructured.Unstructured{}
	for _, o := range objects(t, text) {
		if o.GetKind() == "Secret" {
			out[o.GetName()] = o
		}
	}
	return out
}

// certificate reads one of a secret.
func certificate(t *testing.T, secret *unstructured.Unstructured, key string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(decoded(t, secret, key)))
	if block == nil {
		t.Fatalf("%s has no certificate %s", secret.GetName(), key)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestGeneratedCertificates(t *testing.T) {
	made := secrets(t, nil, `apiserver: {extraNames: [etcd.east.example, 203.0.113.7, "2001:db8::7"]}`)
	if got := slices.Sorted(maps.Keys(made)); !slices.Equal(got, []string{"tombolo-authority", "tombolo-etcd", "tombolo-node", "tombolo-peer", "tombolo-root"}) {
		t.Fatalf("made %v", got)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate(t, made["tombolo-authority"], "tls.crt"))
	for _, user := range []string{"etcd", "root", "node", "peer"} {
		c := certificate(t, made["tombolo-"+user], "tls.crt")
		if c.Subject.CommonName != user {
			t.Errorf("%s is for %q", user, c.Subject.CommonName)
		}
		if _, err := c.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			t.Errorf("%s: %v", user, err)
		}
		if got := certificate(t, made["tombolo-"+user], "ca.crt"); !got.Equal(certificate(t, made["tombolo-authority"], "tls.crt")) {
			t.Errorf("%s has another authority", user)
		}
	}
	server := certificate(t, made["tombolo-etcd"], "tls.crt")
	for _, host := range []string{
		"127.0.0.1", "localhost", "tombolo-apiserver-2.tombolo-apiserver.tombolo.svc.cluster.local",
		"tombolo-etcd.tombolo.svc", "etcd.east.example", "203.0.113.7", "2001:db8::7",
	} {
		if err := server.VerifyHostname(host); err != nil {
			t.Errorf("etcd at %s: %v", host, err)
		}
	}
	if len(certificate(t, made["tombolo-node"], "tls.crt").DNSNames) > 0 || net.ParseIP("::1") == nil {
		t.Error("a user's certificate is a server's, too")
	}
}

// An upgrade keeps what holds long enough and is for the same names.
func TestGeneratedCertificatesAreKept(t *testing.T) {
	first := secrets(t, nil)
	again := secrets(t, first)
	for name, s := range first {
		if decoded(t, s, "tls.key") != decoded(t, again[name], "tls.key") || decoded(t, s, "tls.crt") != decoded(t, again[name], "tls.crt") {
			t.Errorf("an upgrade made %s anew", name)
		}
	}
	changed := func(after map[string]*unstructured.Unstructured) (names []string) {
		for name, s := range first {
			if decoded(t, s, "tls.crt") != decoded(t, after[name], "tls.crt") {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	if got := changed(secrets(t, first, `apiserver: {extraNames: [etcd.example]}`)); !slices.Equal(got, []string{"tombolo-etcd"}) {
		t.Errorf("another name of etcd made %v anew", got)
	}
	old := maps.Clone(first)
	old["tombolo-node"] = first["tombolo-node"].DeepCopy()
	marks := old["tombolo-node"].GetAnnotations()
	marks["tombolo.io/until"] = strconv.FormatInt(time.Now().Add(100*24*time.Hour).Unix(), 10)
	old["tombolo-node"].SetAnnotations(marks)
	renewed := secrets(t, old)
	if got := changed(renewed); !slices.Equal(got, []string{"tombolo-node"}) {
		t.Errorf("a certificate that ends soon made %v anew", got)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate(t, first["tombolo-authority"], "tls.crt"))
	if _, err := certificate(t, renewed["tombolo-node"], "tls.crt").Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Errorf("the renewed one: %v", err)
	}
}
