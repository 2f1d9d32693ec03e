package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/internal/etcdtest"
)

// run runs the program as a person does and returns what it prints.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out strings.Builder
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestStore(t *testing.T) {
	s := etcdtest.New(t)
	s.Stop()
	s.Config.Dir, s.Config.EpochKey = t.TempDir(), clustermesh.EpochKey
	s.Start()
	c := s.Dial()
	self := &clustermesh.Cluster{Name: "east", ID: 1, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}
	value, err := clustermesh.Encode(self)
	if err != nil {
		t.Fatal(err)
	}
	etcdtest.Put(t, c, clustermesh.KeyOf(clustermesh.Export, self).String(), string(value))
	at := []string{"--etcd-endpoints", s.Config.Listen[0]}
	file, dir := filepath.Join(t.TempDir(), "snapshot.db"), filepath.Join(t.TempDir(), "etcd")
	for _, step := range []struct {
		args  []string
		fails bool
		want  []string
	}{
		{append(at, "ls"), false, []string{"KEY", "tombolo/v1/epoch", "tombolo/v1/export/cluster"}},
		{append(at, "ls", "export/", "-o", "json"), false, []string{`"name":"east"`}},
		{append(at, "ls", "nope"), false, []string{"KEY  REVISION  BYTES  ERROR"}},
		{append(at, "get", "export/cluster"), false, []string{"key: tombolo/v1/export/cluster", "- 10.1.0.0/16"}},
		{append(at, "get", "export/nodes/none"), true, []string{"export/nodes/none", "no such key"}},
		{append(at, "ls", "-o", "xml"), true, []string{"xml", "json"}},
		{[]string{"ls"}, true, []string{"--etcd-endpoints"}},
		{append(at, "snapshot", file), false, []string{file, "bytes"}},
		{[]string{"restore", file}, true, []string{"data-dir"}},
		{[]string{"restore", os.Args[0], "--data-dir", dir}, true, []string{os.Args[0], "none of those that tombolo store snapshot"}},
		{[]string{"restore", file, "--data-dir", dir}, false, []string{dir, "restored"}},
		{[]string{"restore", file, "--data-dir", dir}, true, []string{"holds a store already"}},
	} {
		out, err := run(t, append([]string{"store"}, step.args...)...)
		if (err != nil) != step.fails {
			t.Fatalf("store %q: %v", step.args, err)
		}
		if err != nil {
			out += err.Error()
		}
		for _, w := range step.want {
			if !strings.Contains(out, w) {
				t.Errorf("store %q prints no %q:\n%s", step.args, w, out)
			}
		}
	}
	for word, want := range map[string]string{
		"": "epoch\nexport/\n:6\n", "export/c": "export/cluster\n:4\n", "tombolo/v1/ex": "tombolo/v1/export/\n:6\n", "none": ":4\n",
	} {
		out, err := run(t, append(append([]string{"__complete", "store"}, at...), "get", word)...)
		if err != nil || !strings.HasPrefix(out, want) {
			t.Errorf("completing %q: %q, %v; want %q", word, out, err, want)
		}
	}
	before, _, err := c.Get(t.Context(), clustermesh.EpochKey)
	if err != nil {
		t.Fatal(err)
	}
	s.Stop()
	s.Config.Dir = dir
	s.Start()
	if kv, ok, err := c.Get(t.Context(), clustermesh.KeyOf(clustermesh.Export, self).String()); err != nil || !ok || string(kv.Value) != string(value) {
		t.Errorf("restored: %q %v %v", kv.Value, ok, err)
	}
	after, ok, err := c.Get(t.Context(), clustermesh.EpochKey)
	if err != nil || !ok || string(after.Value) == string(before.Value) {
		t.Errorf("the restored store's epoch: %q, before %q (%v)", after.Value, before.Value, err)
	}
}

func TestStoreThatDoesNotAnswer(t *testing.T) {
	nowhere := "http://" + etcdtest.Address(t)
	f := storeFlags{endpoints: []string{nowhere}}
	err := f.explain(t.Context(), fmt.Errorf("reading epoch: %w", context.DeadlineExceeded))
	if err == nil || !strings.Contains(err.Error(), "reading epoch: ") || !strings.Contains(err.Error(), nowhere) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nobody there: %v", err)
	}
	if out, err := run(t, "__complete", "store", "get", "--etcd-endpoints", nowhere, "ex"); err != nil || !strings.HasPrefix(out, ":4\n") {
		t.Errorf("completing: %q, %v", out, err)
	}
	f.endpoints = []string{etcdtest.New(t).Config.Listen[0]}
	if err := f.explain(t.Context(), context.DeadlineExceeded); !strings.Contains(err.Error(), "takes connections and does not answer") {
		t.Errorf("no quorum: %v", err)
	}
	other := errors.New("no such key")
	if err := f.explain(t.Context(), other); err != other {
		t.Errorf("another error: %v", err)
	}
	if err := f.explain(t.Context(), nil); err != nil {
		t.Errorf("no error: %v", err)
	}
}

// TestStoreOutOfReach holds that no command waits for ever for a store, and that each
// says where it looked for it.
func TestStoreOutOfReach(t *testing.T) {
	if _, err := run(t, "store", "ls", "--etcd-endpoints", "foo"); err == nil || !strings.Contains(err.Error(), `endpoint "foo": want https://HOST:PORT`) {
		t.Errorf("no endpoint at all: %v", err)
	}
	nowhere := "http://" + etcdtest.Address(t)
	for _, args := range [][]string{{"ls"}, {"watch"}, {"snapshot", filepath.Join(t.TempDir(), "snapshot.db")}} {
		t.Run(args[0], func(t *testing.T) {
			t.Parallel()
			_, err := run(t, append([]string{"store", "--etcd-endpoints", nowhere}, args...)...)
			if err == nil || !strings.Contains(err.Error(), nowhere) || !strings.Contains(err.Error(), "connection refused") {
				t.Errorf("got %v", err)
			}
		})
	}
}
