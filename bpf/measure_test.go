package bpf

import "testing"

// The kernel counts the runs of a program, and none of one that is not at the hook.
func TestRunTime(t *testing.T) {
	w := newWorld(t)
	f := tcp("10.96.0.1:80")
	w.put(t, 1, f, active(w.Serve(t, local[false], "one")))
	counting, err := CountRunTime()
	if err != nil {
		t.Fatal(err)
	}
	defer counting.Close()
	const n = 20
	for range n {
		w.connected(t, f)
	}
	if got, err := w.RunTime("connect4"); err != nil || got.Count != n || got.Total <= 0 {
		t.Errorf("connect4 ran %+v (%v), want %d", got, err, n)
	}
	if got, err := w.RunTime("connect6"); err != nil || got.Count != 0 {
		t.Errorf("connect6 ran %+v (%v)", got, err)
	}
	if got, err := w.RunTime("connect5"); err == nil {
		t.Errorf("a program that is not there ran %+v", got)
	}
}

// An idle program is there until it is closed, and changes nothing.
func TestLetPass(t *testing.T) {
	w := newWorld(t)
	f := tcp("10.96.0.1:80")
	w.put(t, 1, f, active(w.Serve(t, local[false], "one")))
	for _, there := range []int{1, 0} {
		idle, err := LetPass(w.cfg.Cgroup)
		if err != nil {
			t.Fatal(err)
		}
		if there == 0 {
			err = idle.Close()
		}
		if found, err2 := w.Foreign(); err != nil || err2 != nil || len(found) != there {
			t.Errorf("of others: %v (%v, %v), want %d", found, err, err2, there)
		}
		if got := w.ask(t, w.Place, f); got != "one" {
			t.Errorf("%q answered", got)
		}
		if there == 1 {
			err = idle.Close()
		}
		if err != nil {
			t.Error(err)
		}
	}
}
