// Package e2e runs the scenarios in testdata: one file is one promise, told
// as a script over a lab of its own – YAML in, what a real client or router
// sees out. The folder is the list of what the mesh does.
//
// Besides testscript's own commands there are, as programs,
//
//	lab COMMAND …             tombolo lab COMMAND, for the script's own lab; up
//	                          speaks BGP over the family of LAB_FAMILY
//	ask MACHINE TARGET COUNT  requests from a machine: who answered, in percent;
//	                          -udp, -udp-unconnected, -http-mapped or
//	                          -udp-mapped before MACHINE
//	etcd URL DIR              an etcd outside of any API server, without TLS
//	member NAME DIR PKI NAME=ADDRESS...   one of the members of such an etcd, with
//	                          TLS and what certificates made
//	page ROLE PATH            what a role of the node serves there, as at /metrics
//	heard ROUTER PREFIX       what a router's own daemon says of the paths to a
//	                          prefix, communities as a BGPAdvertisement has them
//	put KEY VALUE             writes bytes to the store of the node it runs on
//	certificates DIR CLUSTER ADDRESS...   an authority of a cluster, and what it
//	                          signs for an etcd at the addresses and its users
//	foreign CGROUP            a program of somebody else's at the connect4 hook of
//	                          a cgroup, for as long as it runs
//	attached CGROUP           the programs at the hooks of a cgroup, a line each
//
// and as commands
//
//	family FILE …                 rewrites manifests of IPv4 into the family of LAB_FAMILY
//	until DURATION [!] COMMAND…   runs a program until it succeeds (with !, until
//	                              it fails), for at most DURATION; what it printed
//	                              last is there for stdout and stderr
//
// NEXT is a tombolo of another version, REPO this repository, MCS in scripts with
// Kubernetes the definitions of the Multi-cluster Services API. LAB_ROUTER and
// LAB_FAMILY in the environment choose the routers (builtin, frr, bird) and the address
// family (ipv4, ipv6); `make test-matrix` sets all of them.
package e2e

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"sigs.k8s.io/mcs-api/config/crd"

	"tombolo.io/tombolo/internal/kube"
	"tombolo.io/tombolo/internal/program"
)

// binDir holds the tombolo that the scripts run.
var binDir string

// labs counts the labs of this process: they stand side by side, each under a name of
// its own.
var labs atomic.Int32

func TestMain(m *testing.M) {
	programs := map[string]func(){"lab": labProgram, "ask": askProgram, "etcd": etcdProgram,
		"member":       memberProgram,
		"put":          putProgram,
		"page":         pageProgram,
		"certificates": certificatesProgram,
		"foreign":      foreignProgram,
		"heard":        heardProgram,
		"attached":     attachedProgram}
	if programs[filepath.Base(os.Args[0])] == nil {
		if err := build(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	testscript.Main(afterwards{m}, programs)
}

// afterwards removes the binary behind the tests.
type afterwards struct{ *testing.M }

func (a afterwards) Run() int {
	defer os.RemoveAll(binDir)
	return a.M.Run()
}

// build builds tombolo once for all scripts, and the same as another version.
func build() (err error) {
	if os.Getuid() != 0 {
		return errors.New("e2e needs root: network namespaces, cgroups, eBPF")
	}
	if binDir, err = os.MkdirTemp("", "tombolo-e2e-"); err != nil {
		return err
	}
	for name, flags := range map[string]string{"tombolo": "", "tombolo-next": "-X main.version=next"} {
		if err := program.Build(context.Background(), filepath.Join(binDir, name), "-ldflags", flags); err != nil {
			return err
		}
	}
	return nil
}

func TestScenarios(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		Setup:               setup,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"until": until, "family": family},
	})
}

// TestKubernetes runs the scripts whose clusters have a real control plane, which
// make kube builds.
func TestKubernetes(t *testing.T) {
	programs, err := filepath.Abs("../bin")
	if err == nil {
		_, err = kube.Program(programs, kube.APIServer)
	}
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/kubernetes",
		Setup: func(env *testscript.Env) error {
			env.Setenv("KUBE", programs)
			mcs := filepath.Join(env.WorkDir, "multicluster.x-k8s.io.yaml")
			env.Setenv("MCS", mcs)
			if err := os.WriteFile(mcs, slices.Concat(crd.ServiceExportCRD, []byte("\n---\n"), crd.ServiceImportCRD), 0o644); err != nil {
				return err
			}
			return setup(env)
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"until": until, "family": family},
	})
}

// setup gives a script a lab name of its own and takes the lab down at its
// end, also when the script fails.
func setup(env *testscript.Env) error {
	name := fmt.Sprintf("e%dx%d", os.Getpid()%10000, labs.Add(1))
	env.Setenv("LAB", name)
	repo, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	env.Setenv("REPO", repo)
	env.Setenv("NEXT", filepath.Join(binDir, "tombolo-next"))
	env.Setenv("LAB_CLUSTERS", "/run/tombolo-lab/"+name+"/clusters")
	env.Setenv("LAB_ROUTER", cmp.Or(os.Getenv("LAB_ROUTER"), "builtin"))
	// Scripts whose subject are routes run real routers also when nobody chooses.
	env.Setenv("FRR", cmp.Or(os.Getenv("LAB_ROUTER"), "frr"))
	env.Setenv("BIRD", cmp.Or(os.Getenv("LAB_ROUTER"), "bird"))
	family := cmp.Or(os.Getenv("LAB_FAMILY"), "ipv4")
	env.Setenv("LAB_FAMILY", family)
	for name, value := range addresses[family] {
		env.Setenv(name, value)
	}
	env.Setenv("PATH", strings.Join([]string{binDir, env.Getenv("PATH"), "/usr/sbin", "/sbin"}, string(os.PathListSeparator)))
	env.Defer(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if t, ok := env.T().(interface{ Failed() bool }); ok && t.Failed() {
			env.T().Log(lastWords(name))
		}
		down := exec.CommandContext(ctx, filepath.Join(binDir, "tombolo"), "lab", "down", "--name", name)
		if out, err := down.CombinedOutput(); err != nil {
			env.T().Log("taking the lab down: ", err, "\n", string(out))
			env.T().FailNow()
		}
	})
	return nil
}

// lastWords returns what the processes of a lab logged last.
func lastWords(lab string) string {
	var b strings.Builder
	logs, _ := filepath.Glob("/run/tombolo-lab/" + lab + "/machines/*/log/*.log")
	for _, log := range logs {
		text, err := exec.Command("tail", "-n", "25", log).CombinedOutput()
		fmt.Fprintf(&b, "== %s %v\n%s", log, err, text)
	}
	return b.String()
}

// addresses are those of a lab that scripts name.
var addresses = map[string]map[string]string{
	"ipv4": {"ECHO": "10.96.0.80:80", "WEB_SERVICE": "10.96.0.90:80", "WEB_CLUSTER_IP": "10.96.0.90", "EMPTY": "10.96.0.99:80", "OTHER": "10.96.0.200:80",
		"POD_EAST_1_A": "10.1.1.10", "POD_EAST_1_A_HTTP": "10.1.1.10:8080", "POD_EAST_1_C": "10.1.1.12", "POD_WEST_1_A": "10.2.1.10",
		"WEB": "203.0.113.17", "WEB_PREFIX": "203.0.113.17", "POD": "10.1.1.10", "POD_EAST_1": "10.1.1.0/24", "POD_EAST_2": "10.1.2.0/24", "POD_EAST_2_A": "10.1.2.10:8080", "POD_WEST_1": "10.2.1.0/24", "POD_WEST_2": "10.2.2.0/24", "IP": "-4", "LAST": "198.51.100.0/24",
		"EAST_1": "172.20.1.1", "EAST_2": "172.20.1.2", "OTHER_PREFIX": "203.0.113.18", "OTHER_WEB": "203.0.113.18", "CLIENT": "192.168.",
		"EXTERNAL": "198.51.100.80", "LAST_BEGIN": "198.51.100.", "EAST_1_HOST": "172.20.1.1", "EAST_2_HOST": "172.20.1.2", "WEST_1_HOST": "172.20.2.1", "ROUTER_EAST_TOO": "fd00:20:1::fe"},
	"ipv6": {"ECHO": "[fd00:96::50]:80", "WEB_SERVICE": "[fd00:96::5a]:80", "WEB_CLUSTER_IP": "fd00:96::5a", "EMPTY": "[fd00:96::63]:80", "OTHER": "[fd00:96::c8]:80",
		"POD_EAST_1_A": "fd00:10:1:1::a", "POD_EAST_1_A_HTTP": "[fd00:10:1:1::a]:8080", "POD_EAST_1_C": "fd00:10:1:1::c", "POD_WEST_1_A": "fd00:10:2:1::a",
		"WEB": "[2001:db8:113:1::1]", "WEB_PREFIX": "2001:db8:113:1::1", "POD": "fd00:10:1:1::a", "POD_EAST_1": "fd00:10:1:1::/64", "POD_EAST_2": "fd00:10:1:2::/64", "POD_EAST_2_A": "[fd00:10:1:2::a]:8080", "POD_WEST_1": "fd00:10:2:1::/64", "POD_WEST_2": "fd00:10:2:2::/64", "IP": "-6", "LAST": "2001:db8:ffff::/48",
		"EAST_1": "fd00:20:1::1", "EAST_2": "fd00:20:1::2", "OTHER_PREFIX": "2001:db8:113:1::2", "OTHER_WEB": "[2001:db8:113:1::2]", "CLIENT": "fd00:168:",
		"EXTERNAL": "[2001:db8:ffff::50]", "LAST_BEGIN": "2001:db8:ffff:", "EAST_1_HOST": "[fd00:20:1::1]", "EAST_2_HOST": "[fd00:20:1::2]", "WEST_1_HOST": "[fd00:20:2::1]", "ROUTER_EAST_TOO": "172.20.1.254"},
}

// pause is the time between two attempts of until.
const pause = 20 * time.Millisecond

func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until DURATION [!] COMMAND ...")
	}
	limit, err := time.ParseDuration(args[0])
	ts.Check(err)
	args = args[1:]
	wantFailure := args[0] == "!"
	if wantFailure {
		args = args[1:]
	}
	deadline := time.Now().Add(limit)
	for {
		var out, errout bytes.Buffer
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "PATH="+ts.Getenv("PATH"), "LAB="+ts.Getenv("LAB"))
		cmd.Dir, cmd.Stdout, cmd.Stderr = ts.MkAbs("."), &out, &errout
		err := cmd.Run()
		if (err != nil) == wantFailure {
			fmt.Fprint(ts.Stdout(), out.String())
			fmt.Fprint(ts.Stderr(), errout.String())
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("not within %v: %s: %v\n%s%s", limit, strings.Join(args, " "), err, out.String(), errout.String())
		}
		time.Sleep(pause)
	}
}
