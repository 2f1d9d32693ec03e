package bpf

import (
	"errors"
	"io/fs"
	"testing"

	"tombolo.io/tombolo/bpf/bpftest"
)

// Who looks sees what the process that has the maps writes, and is told when there
// are none.
func TestLook(t *testing.T) {
	w := newWorld(t)
	f := tcp("10.96.0.1:80")
	number := w.put(t, 1, f, active(w.Serve(t, local[false], "one")))[0]
	d, err := Look(w.cfg.BPFFS)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	all, err := d.Frontends.All()
	if err != nil || len(all) != 1 || all[f] != 1 {
		t.Errorf("frontends %v (%v)", all, err)
	}
	if at := d.Services.Read(1).Primary; at.Size != table || d.Slots.Read(at)[0] != number {
		t.Errorf("the service's table is %v", at)
	}
	for _, state := range []State{Draining, Active} {
		w.Backends.SetState(number, state)
		if got := d.Backends.Read(number); got != w.Backends.Read(number) || got.State != state {
			t.Errorf("backend %+v", got)
		}
	}
	if d, err := Look(bpftest.New(t).BPFFS); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("where nothing is attached: %v, %v", d, err)
	}
}
