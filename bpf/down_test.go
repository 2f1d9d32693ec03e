package bpf

import (
	"errors"
	"io/fs"
	"testing"

	"tombolo.io/tombolo/bpf/bpftest"
)

func TestDownAt(t *testing.T) {
	env := bpftest.New(t)
	if _, _, err := DownAt(env.BPFFS); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before anything is pinned: %v", err)
	}
	d := load(t, env, SmallSizes())
	if err := d.Attach(); err != nil {
		t.Fatal(err)
	}
	want := func(clusters, nodes int) {
		t.Helper()
		if c, n, err := DownAt(env.BPFFS); c != clusters || n != nodes || err != nil {
			t.Errorf("%d clusters and %d nodes are down, want %d and %d (%v)", c, n, clusters, nodes, err)
		}
	}
	want(0, 0)
	d.Clusters.Set(7, ClusterDown)
	d.Nodes.Set(3, NodeDown)
	d.Nodes.Set(d.Nodes.Len()-1, PodsDown)
	want(1, 2)
	d.Clusters.Set(7, 0)
	d.Nodes.Set(3, 0)
	want(0, 1)
}
