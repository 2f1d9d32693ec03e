package main

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestNewest(t *testing.T) {
	found := `linux-image-6.1.0-9-amd64-unsigned - Linux 6.1 for 64-bit PCs
linux-image-6.1.0-56-amd64-unsigned - Linux 6.1 for 64-bit PCs
linux-image-6.1.0-57-rt-amd64-unsigned - Linux 6.1 for 64-bit PCs, PREEMPT_RT
linux-image-6.1.0-55-amd64-unsigned - Linux 6.1 for 64-bit PCs
linux-image-6.12.117+deb12-amd64-unsigned - Linux 6.12 for 64-bit PCs
`
	if got := newestOf(found); got != "linux-image-6.1.0-56-amd64-unsigned" {
		t.Errorf("the newest is %q", got)
	}
	if got := newestOf("linux-image-6.12.117+deb12-amd64-unsigned - Linux 6.12\n"); got != "" {
		t.Errorf("of another kernel %q is taken", got)
	}
}

func TestWanted(t *testing.T) {
	for file, want := range map[string]string{
		"./boot/vmlinuz-6.1.0-56-amd64":                              "vmlinuz",
		"./boot/System.map-6.1.0":                                    "",
		"./lib/modules/6.1.0/kernel/net/sched/sch_ingress.ko":        "sch_ingress.ko",
		"./lib/modules/6.1.0/kernel/lib/libcrc32c.ko":                "libcrc32c.ko",
		"./lib/modules/6.1.0/kernel/drivers/net/veth.ko":             "veth.ko",
		"./lib/modules/6.1.0/kernel/drivers/net/vxlan/vxlan.ko":      "vxlan.ko",
		"./lib/modules/6.1.0/kernel/drivers/net/ethernet/intel/a.ko": "",
		"./lib/modules/6.1.0/modules.builtin":                        "",
	} {
		if got, ok := wanted(file); got != want || ok != (want != "") {
			t.Errorf("%s becomes %q, %v; want %q", file, got, ok, want)
		}
	}
}

// Modules come after those they need, each once.
func TestClosure(t *testing.T) {
	k := kernel{dir: t.TempDir()}
	for name, needs := range map[string]string{"tcp_diag": "inet_diag", "udp_diag": "inet_diag", "inet_diag": "", "lost": "gone"} {
		writeModule(t, k.module(name), needs)
	}
	got, err := k.closure("udp_diag", "tcp_diag")
	want := []string{k.module("inet_diag"), k.module("udp_diag"), k.module("tcp_diag")}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	if _, err := k.closure("lost"); err == nil || !strings.Contains(err.Error(), "no module gone") {
		t.Errorf("without a module that another needs: %v", err)
	}
}

// writeModule writes an object with what modules say of themselves.
func writeModule(t *testing.T, file, needs string) {
	t.Helper()
	cmd := exec.Command("gcc", "-c", "-x", "c", "-o", file, "-")
	cmd.Stdin = strings.NewReader(`__attribute__((section(".modinfo"))) char a[] = "license=GPL\0depends=` + needs + `";`)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("compiling: %v\n%s", err, out)
	}
}

func TestCommandLine(t *testing.T) {
	cfg, err := parse([]string{"-run", "^TestA", "bpf"})
	if err != nil || !cfg.run.MatchString("TestAll") || cfg.run.MatchString("TestB") || !slices.Equal(cfg.packages, []string{"bpf"}) {
		t.Errorf("%+v, %v", cfg, err)
	}
	if _, err := parse([]string{"-run", "("}); err == nil {
		t.Error("a broken pattern is taken")
	}
	if _, err := build(context.Background(), config{packages: []string{"no/such"}}, t.TempDir()); err == nil || !strings.Contains(err.Error(), "no/such") {
		t.Errorf("of a package that is not there: %v", err)
	}
}
