package bpf

import (
	"runtime"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"tombolo.io/tombolo/bpf/bpftest"
)

//go:generate go tool -modfile=../internal/tools/go.mod bpf2go -go-package bpf -target bpfel -cc clang-19 -strip llvm-strip-19 -no-global-types spin spin_test.c -- -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu -O2 -g -Wall -Werror -mcpu=v3

// A grace period ends only after a program that was running has ended.
func TestGraceWaitsForPrograms(t *testing.T) {
	d := load(t, bpftest.New(t), SmallSizes())
	var spin spinObjects
	if err := loadSpinObjects(&spin, nil); err != nil {
		t.Fatal(err)
	}
	defer spin.Close()
	mem, err := mapMemory(spin.Progress)
	if err != nil {
		t.Fatal(err)
	}
	defer mem.close()
	const begun, ended = 1, 2
	// The program may end before we come to ask: then try again.
	for range 20 {
		mem.store(0, 0)
		done := make(chan error)
		go func() {
			_, err := spin.Spin.Run(&ebpf.RunOptions{Data: make([]byte, 64)})
			done <- err
		}()
		for mem.load(0) == 0 {
			runtime.Gosched()
		}
		before, start := mem.load(0), time.Now()
		if err := d.Grace(); err != nil {
			t.Fatal(err)
		}
		after := mem.load(0)
		t.Logf("waited %v", time.Since(start))
		if err := <-done; err != nil {
			t.Fatalf("running the program: %v", err)
		}
		if before != begun {
			continue
		}
		if after != ended {
			t.Fatal("the program was still running when the grace period ended")
		}
		return
	}
	t.Fatal("the program never ran while we asked")
}
