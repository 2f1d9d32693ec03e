package bpf

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"tombolo.io/tombolo/bpf/bpftest"
)

// Programs of others at our hooks, on our cgroup or above it, are reported and
// go on running; ours are not, and neither are those on other cgroups.
func TestForeign(t *testing.T) {
	above := bpftest.New(t)
	env := &bpftest.Env{BPFFS: above.BPFFS, Cgroup: bpftest.NewCgroup(t, above.Cgroup)}
	d := load(t, env, SmallSizes())
	if err := d.Attach(); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Foreign(); err != nil || len(got) > 0 {
		t.Fatalf("of others: %v (%v)", got, err)
	}
	attachOther(t, above.Cgroup, "other_above", ebpf.AttachCGroupInet4Connect)
	attachOther(t, env.Cgroup, "other_here", ebpf.AttachCGroupUDP6Sendmsg)
	attachOther(t, bpftest.NewCgroup(t, above.Cgroup), "other_beside", ebpf.AttachCGroupInet4Connect)
	found, err := d.Foreign()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		got = append(got, f.Hook+" "+f.Name+" "+strings.TrimPrefix(f.Cgroup, above.Cgroup))
	}
	want := "connect4 other_above , sendmsg6 other_here " + strings.TrimPrefix(env.Cgroup, above.Cgroup)
	if strings.Join(got, ", ") != want && strings.Join([]string{got[1], got[0]}, ", ") != want {
		t.Errorf("of others: %q, want %q", got, want)
	}
}

// attachOther attaches a program that lets every call pass, until the test ends.
func attachOther(t *testing.T, cgroup, name string, at ebpf.AttachType) {
	t.Helper()
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: name, Type: ebpf.CGroupSockAddr, AttachType: at, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { prog.Close() })
	l, err := link.AttachCgroup(link.CgroupOptions{Path: cgroup, Attach: at, Program: prog})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
}

// Two data paths on cgroups side by side, as the nodes of a lab are, have the
// same frontend lead to their own backends.
func TestSideBySide(t *testing.T) {
	f := tcp("10.96.0.1:80")
	var worlds []*world
	for _, name := range []string{"east", "west"} {
		w := newWorld(t)
		w.put(t, 1, f, active(w.Serve(t, local[false], name)))
		worlds = append(worlds, w)
	}
	for i, name := range []string{"east", "west"} {
		if got := worlds[i].ask(t, worlds[i].Place, f); got != name {
			t.Errorf("%q answered in %s", got, name)
		}
		if got, err := worlds[i].Foreign(); err != nil || len(got) > 0 {
			t.Errorf("of others: %v (%v)", got, err)
		}
	}
}

// Two data paths on one cgroup, another Tombolo: both serve their frontends,
// and each reports the other.
func TestSameCgroup(t *testing.T) {
	w := newWorld(t)
	other := bpftest.New(t)
	second, err := Load(Config{BPFFS: other.BPFFS, Cgroup: w.cfg.Cgroup, Sizes: SmallSizes()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	v := &world{Env: w.Env, Datapath: second, backends: 1}
	t.Cleanup(func() {
		if err := second.Close(); err != nil {
			t.Error(err)
		}
		if err := Uninstall(second.cfg); err != nil {
			t.Error(err)
		}
	})
	if err := second.Attach(); err != nil {
		t.Fatal(err)
	}
	w.put(t, 1, tcp("10.96.0.1:80"), active(w.Serve(t, local[false], "first")))
	v.put(t, 1, tcp("10.96.0.2:80"), active(w.Serve(t, local[false], "second")))
	for _, x := range []*world{w, v} {
		if got, err := x.Foreign(); err != nil || len(got) != len(hooks)-2 { // but for those that only listen
			t.Errorf("of others: %v (%v)", got, err)
		}
	}
	for address, want := range map[string]string{"10.96.0.1:80": "first", "10.96.0.2:80": "second"} {
		fd, err := w.Connect(t, tcp(address).Address)
		if err != nil {
			t.Fatal(err)
		}
		if got := bpftest.Read(t, fd); got != want {
			t.Errorf("%q answered at %s", got, address)
		}
		if got := peer(t, fd); got != tcp(address).Address {
			t.Errorf("getpeername shows %s instead of %s", got, address)
		}
	}
}
