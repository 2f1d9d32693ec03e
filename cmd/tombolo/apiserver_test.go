package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/apiserver"
	"tombolo.io/tombolo/clustermesh/mirror"
	"tombolo.io/tombolo/internal/control"
	"tombolo.io/tombolo/internal/etcdtest"
)

func TestAPIServerReportsEveryMistake(t *testing.T) {
	_, err := run(t, "apiserver", "--cluster-id", "512", "--pod-cidr", "10.1.0.0/33,10.2.0.0/16", "--shrink-hold", "-1s", "--identity-labels", "team*,a b", "--etcd-members", "a,b=http://x:1,b=http://y:1", "--etcd-member", "c", "--run-dir", t.TempDir())
	if err == nil {
		t.Fatal("it runs")
	}
	for _, want := range []string{
		`--pod-cidr: "10.1.0.0/33" is no prefix`, "give --manifests", "--cluster-name", "--cluster-id", `name ("") must be an RFC 1123 label`, "id (512) must be 1 to 511",
		"give --pod-cidr and --node-cidr", "give --node-name", "give --data-dir", "give --etcd-listen", "hold time", `--etcd-members: "a" is none`, `--etcd-members: "b=http://y:1" is none`, `member "c" is none of`, `label rule "a b"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %q:\n%v", want, err)
		}
	}
	for flag, value := range map[string]string{"--log-level": "loud", "--log-format": "xml"} {
		if _, err := run(t, "apiserver", flag, value); err == nil || !strings.Contains(err.Error(), flag) || !strings.Contains(err.Error(), value) {
			t.Errorf("%s %s: %v", flag, value, err)
		}
	}
}

// Flags of one source are none of the other's, and the Kubernetes API is named
// where it is not that of the pod.
func TestAPIServerSource(t *testing.T) {
	whole := []string{"apiserver", "--cluster-name", "east", "--cluster-id", "1", "--pod-cidr", "10.1.0.0/16", "--node-cidr", "192.168.1.0/24",
		"--node-name", "n1", "--data-dir", t.TempDir(), "--etcd-listen", "http://127.0.0.1:1", "--run-dir", t.TempDir(), "--log-level", "error"}
	for _, c := range []struct{ flags, want string }{
		{"", "give --manifests, or --source kubernetes"},
		{"--source files", `--source "files" is not manifests or kubernetes`},
		{"--manifests /x --kubeconfig /x", "--kubeconfig and --kube-context are of no use"},
		{"--manifests /x --source kubernetes", "--manifests is of no use"},
		{"--source kubernetes --kube-context east", "give --kubeconfig"},
		{"--source kubernetes", "name the API with --kubeconfig FILE"},
		{"--source kubernetes --kubeconfig /there/is/none", "/there/is/none"},
	} {
		if _, err := run(t, append(slices.Clone(whole), strings.Fields(c.flags)...)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.flags, err, c.want)
		}
	}
}

// What outlives a lost store lies where neither moving the data directory away nor a
// pod that is replaced takes it along.
func TestAddressesFile(t *testing.T) {
	for _, c := range []struct{ flags, want string }{
		{"--data-dir /var/lib/tombolo/etcd", "/var/lib/tombolo/etcd-addresses.json"},
		{"--data-dir m1/", "m1-addresses.json"},
		{"--etcd-endpoints https://10.0.0.1:2379 --data-dir /x", "/r/apiserver-addresses.json"},
		{"", "/r/apiserver-addresses.json"},
	} {
		f, flags := &apiserverFlags{}, pflag.NewFlagSet("apiserver", pflag.ContinueOnError)
		f.add(flags)
		if err := flags.Parse(append(strings.Fields(c.flags), "--run-dir=/r")); err != nil {
			t.Fatal(err)
		}
		f.complete() // reports what else is missing
		if got := f.config.Addresses.File; got != c.want {
			t.Errorf("%q: %s, want %s", c.flags, got, c.want)
		}
	}
}

// The command as people start it: it serves, shows itself, keeps a second one
// away, and ends in peace.
func TestAPIServer(t *testing.T) {
	dir := t.TempDir()
	// Not a node: of one the API server would ask first which identities are in use.
	manifest := "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop, annotations: {tombolo.io/global: \"true\"}}\nspec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}\n"
	if err := os.WriteFile(filepath.Join(dir, "service.yaml"), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	address := "http://" + etcdtest.Address(t)
	args := []string{"apiserver", "--cluster-name", "east", "--cluster-id", "1", "--pod-cidr", "10.1.0.0/16", "--node-cidr", "192.168.1.0/24",
		"--node-name", "n1", "--manifests", dir, "--data-dir", filepath.Join(t.TempDir(), "etcd"), "--etcd-listen", address,
		"--run-dir", dir, "--log-level", "error"}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	ended := make(chan error, 1)
	root := newRoot()
	root.SetArgs(args)
	go func() { ended <- root.ExecuteContext(ctx) }()
	untilWell(t, dir, ended)

	if out, err := run(t, "status", "--run-dir", dir); err != nil || !strings.Contains(out, "apiserver  n1 ") {
		t.Errorf("status: %v\n%s", err, out)
	}
	if out, err := run(t, "clusters", "--run-dir", dir); err != nil || !strings.Contains(fields(out), "east 1 Ours - 0 1 0 0") {
		t.Errorf("clusters: %v\n%s", err, out)
	}
	metrics, err := control.NewClient(dir, apiserver.Role).Raw(t.Context(), "/metrics")
	if err != nil || !strings.Contains(string(metrics), "\ntombolo_source_objects 1\n") || !strings.Contains(string(metrics), "\ntombolo_apiserver_synced 1\n") {
		t.Errorf("metrics: %v\n%s", err, metrics)
	}
	if _, err := run(t, args...); err == nil || !strings.Contains(err.Error(), "it is running already, as process") {
		t.Errorf("a second one: %v", err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
	if _, err := os.Stat(control.SocketPath(dir, "apiserver")); !os.IsNotExist(err) {
		t.Errorf("the socket stays: %v", err)
	}
}

// untilWell asks until the API server does its work and has nothing to tell, or
// has ended.
func untilWell(t *testing.T, dir string, ended <-chan error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var r control.Report
		err := control.NewClient(dir, apiserver.Role).Get(t.Context(), "/status", &r)
		if err == nil && r.Health == clustermesh.HealthOK && r.NotReady == "" {
			return
		}
		select {
		case <-tick.C:
		case over := <-ended:
			t.Fatalf("it ended with %v; %v, %+v", over, err, r)
		}
	}
}

func TestMirrorMetrics(t *testing.T) {
	s := apiserver.Status{Mirrors: []mirror.Status{
		{Peer: "west", State: clustermesh.MirrorState{Phase: clustermesh.MirrorSynced}},
		{Peer: "north", State: clustermesh.MirrorState{Phase: clustermesh.MirrorRefused}, Problems: 3},
	}}
	got := map[string]float64{}
	for sample := range apiserverSamples(s) {
		got[strings.Join(append([]string{sample.Name}, sample.Labels...), " ")] = sample.Value
	}
	for name, want := range map[string]float64{
		"tombolo_mirror_synced peer west": 1, "tombolo_mirror_refused peer west": 0, "tombolo_mirror_problems peer west": 0,
		"tombolo_mirror_synced peer north": 0, "tombolo_mirror_refused peer north": 1, "tombolo_mirror_problems peer north": 3,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s: got %v, %v; want %v", name, v, ok, want)
		}
	}
}

// Roles that lack something say all of it before they do anything.
func TestRolesThatLackSomething(t *testing.T) {
	dir := t.TempDir()
	for args, want := range map[string][]string{
		"speaker": {"--node-name", "--etcd-endpoints"},
		"agent":   {"--node-name", "--etcd-endpoints"},
		"speaker --node-name n1 --etcd-endpoints http://127.0.0.1:1 --tls-ca /ca":                            {"are for endpoints that begin with https://"},
		"speaker --node-name n1 --etcd-endpoints https://127.0.0.1:1":                                        {"give --tls-ca and --tls-cert and --tls-key too"},
		"speaker --node-name n1 --etcd-endpoints https://127.0.0.1:1 --tls-ca /a --tls-cert /b":              {"give --tls-key too"},
		"speaker --node-name n1 --etcd-endpoints https://127.0.0.1:1 --tls-ca /a --tls-cert /b --tls-key /c": {"reading the CA"},
		"speaker --node-name n1 --etcd-endpoints foo":                                                        {`reading --etcd-endpoints: etcd's endpoint "foo": want https://HOST:PORT`},
		"agent --node-name n1 --etcd-endpoints 10.0.0.1:2379":                                                {`endpoint "10.0.0.1:2379": want https://HOST:PORT`},
		"apiserver --cluster-name east --etcd-endpoints https://10.0.0.1":                                    {`endpoint "https://10.0.0.1": want https://HOST:PORT`},
		"clusters --etcd-endpoints https://127.0.0.1:1,http://127.0.0.1:2":                                   {"want all of them with https://, or none"},
		"apiserver --cluster-id 70000":                                                                       {`"70000" for "--cluster-id" flag: want a number, 1 to 511`},
		"apiserver --cluster-id east":                                                                        {"want a number, 1 to 511"},
		"apiserver --cluster-id 0":                                                                           {"must be 1 to 511"},
		"agent --probe-port 65536":                                                                           {`"65536" for "--probe-port" flag: want a number, 1 to 65535`},
		"apiserver --cluster-name east --etcd-listen https://127.0.0.1:1":                                    {"needs certificates: give --etcd-server-cert, --etcd-server-key and --tls-ca"},
		"apiserver --cluster-name east --etcd-listen https://127.0.0.1:1 --etcd-server-cert /c":              {"certificates are incomplete: give all of --etcd-server-cert"},
	} {
		_, err := run(t, append(strings.Fields(args), "--run-dir", dir)...)
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: got %v, want it to say %q", args, err, w)
			}
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("they left %v, %v", left, err)
	}
}
