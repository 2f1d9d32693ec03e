// Package kube describes a Kubernetes control plane for tests and labs: its
// certificates and kubeconfigs, and how its programs are called, which are the
// real ones (`make kube` builds them of the module deploy/kube). It starts
// nothing itself: internal/kubetest does for a test, deploy/lab for a lab. It
// imports nothing of Kubernetes, so every package may use it.
package kube

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"tombolo.io/tombolo/internal/authority"
)

// The programs of a control plane, and the operator's.
const (
	APIServer   = "kube-apiserver"
	Controllers = "kube-controller-manager"
	Kubectl     = "kubectl"
)

// The users that every control plane has from the start.
const (
	// Admin may do all.
	Admin = "admin"
	// manager is kube-controller-manager.
	manager = "system:kube-controller-manager"
)

// Masters is the group that may do all, past RBAC.
const Masters = "system:masters"

// Plane is a control plane of one kube-apiserver.
type Plane struct {
	// Dir holds what its programs and users read.
	Dir string
	// Listen is where kube-apiserver serves HTTPS.
	Listen netip.AddrPort
	// Etcd is the URL of its store, which asks for no certificate.
	Etcd string
	// Services are the prefixes of ClusterIPs, one of each family at most.
	Services []netip.Prefix
	// Controllers: kube-controller-manager runs too. Without it nobody makes
	// service accounts, and pods are admitted without one.
	Controllers bool
	// Audit: every request is a line of AuditLog.
	Audit bool
	// Flags are further ones of kube-apiserver.
	Flags []string
}

func (p Plane) file(name string) string { return filepath.Join(p.Dir, name) }

// AuditLog is where requests are noted.
func (p Plane) AuditLog() string { return p.file("audit.log") }

// URL is where the API is served.
func (p Plane) URL() string { return "https://" + p.Listen.String() }

// policy has every request noted when it was answered, without its bodies.
const policy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
`

// Write makes the directory and what the programs read: an authority, the
// certificates it signs, kubeconfigs and the policy of the audit.
func (p Plane) Write() error {
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return fmt.Errorf("making the files of a control plane: %w", err)
	}
	ca, err := authority.New("kubernetes")
	if err != nil {
		return err
	}
	issue := func(name string, l authority.Leaf) error {
		return ca.Issue(l, p.file(name+".crt"), p.file(name+".key"))
	}
	err = errors.Join(ca.Save(p.file("ca.crt")), ca.SaveKey(p.file("ca.key")),
		issue("server", authority.Leaf{Name: APIServer, Addresses: []netip.Addr{p.Listen.Addr()},
			Hosts: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}}),
		issue("tokens", authority.Leaf{Name: "service accounts"}))
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.file("audit.yaml"), []byte(policy), 0o600); err != nil {
		return fmt.Errorf("writing the policy of the audit: %w", err)
	}
	if _, err := p.Issue(manager); err != nil {
		return err
	}
	_, err = p.Issue(Admin, Masters)
	return err
}

// APIServer returns the arguments of kube-apiserver.
func (p Plane) APIServer() []string {
	args := []string{
		"--bind-address=" + p.Listen.Addr().String(), fmt.Sprintf("--secure-port=%d", p.Listen.Port()),
		"--etcd-servers=" + p.Etcd,
		"--client-ca-file=" + p.file("ca.crt"),
		"--tls-cert-file=" + p.file("server.crt"), "--tls-private-key-file=" + p.file("server.key"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + p.file("tokens.crt"), "--service-account-signing-key-file=" + p.file("tokens.key"),
		"--service-cluster-ip-range=" + join(p.Services),
		"--authorization-mode=RBAC", "--allow-privileged", "--profiling=false",
	}
	if p.Listen.Addr().IsLoopback() {
		// An endpoint of the service default/kubernetes may not be loopback.
		args = append(args, "--advertise-address=192.0.2.1", "--endpoint-reconciler-type=none")
	}
	if !p.Controllers {
		args = append(args, "--disable-admission-plugins=ServiceAccount")
	}
	if p.Audit {
		args = append(args, "--audit-policy-file="+p.file("audit.yaml"), "--audit-log-path="+p.AuditLog())
	}
	return append(args, p.Flags...)
}

// controllers are those that what we read of Kubernetes depends on. Those of
// workloads would want a scheduler, those of volumes and clouds have nothing
// to do here.
var controllers = []string{
	"endpointslice-controller", "endpointslice-mirroring-controller", "endpoints-controller",
	"namespace-controller", "garbage-collector-controller", "pod-garbage-collector-controller",
	"node-lifecycle-controller", "taint-eviction-controller",
	"serviceaccount-controller", "root-ca-certificate-publisher-controller",
	"clusterrole-aggregation-controller", "service-cidr-controller",
}

// ControllerManager returns the arguments of kube-controller-manager.
func (p Plane) ControllerManager() []string {
	return []string{
		"--kubeconfig=" + p.Access(manager).Kubeconfig,
		"--controllers=" + strings.Join(controllers, ","),
		"--root-ca-file=" + p.file("ca.crt"),
		"--use-service-account-credentials", // each has its own role, as RBAC wants
		"--leader-elect=false",              // there is but one
		"--secure-port=0",
		// The default of 20 requests a second would be what a test measures.
		"--kube-api-qps=1000", "--kube-api-burst=2000",
		"--profiling=false",
	}
}

func join(prefixes []netip.Prefix) string {
	var out []string
	for _, p := range prefixes {
		out = append(out, p.String())
	}
	return strings.Join(out, ",")
}

// Program returns the path of one of the programs in a directory.
func Program(dir, name string) (string, error) {
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("finding %s: %w; make kube builds it", name, err)
	}
	return path, nil
}
