package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"tombolo.io/tombolo/internal/vm/job"
)

// The job and all that it needs are in the archive, and every folder.
func TestInitramfs(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"guest": "init", "veth.ko": "a module", "0.test": "tests", "a/testdata/b/c.txt": "data"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := suite{
		guest:    filepath.Join(dir, "guest"),
		packages: []built{{listed{ImportPath: module + "x/a", Dir: filepath.Join(dir, "a")}, filepath.Join(dir, "0.test")}},
		parts:    []job.Part{{Package: "x/a", Tests: []string{"TestA"}}},
	}
	image := filepath.Join(dir, "image")
	j, err := pack(image, s, []string{filepath.Join(dir, "veth.ko")})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(j.Modules, []string{"/modules/veth.ko"}) || len(j.Parts) != 1 {
		t.Errorf("the job is %+v", j)
	}
	got := entries(t, image)
	for name, want := range map[string]string{
		"init": "init", "modules/veth.ko": "a module", "tests/x/a/run.test": "tests", "tests/x/a/testdata/b/c.txt": "data",
	} {
		if got[name] != want {
			t.Errorf("%s has %q, want %q", name, got[name], want)
		}
	}
	for _, name := range []string{"modules", "tests", "tests/x", "tests/x/a", "job.json", "TRAILER!!!"} {
		if _, ok := got[name]; !ok {
			t.Errorf("there is no %s in %v", name, got)
		}
	}
}

// entries reads an archive as the kernel does.
func entries(t *testing.T, file string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const header, size, name = 6 + 13*8, 6 + 6*8, 6 + 11*8
	number := func(at int) int {
		n, err := strconv.ParseUint(string(text[at:at+8]), 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		return int(n)
	}
	all := map[string]string{}
	for at := 0; at < len(text); {
		if string(text[at:at+6]) != "070701" {
			t.Fatalf("no entry begins at %d", at)
		}
		begins := (at + header + number(at+name) + 3) &^ 3
		ends := begins + number(at+size)
		all[string(text[at+header:at+header+number(at+name)-1])] = string(text[begins:ends])
		at = (ends + 3) &^ 3
	}
	return all
}
