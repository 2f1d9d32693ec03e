package health

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// copied returns a folder with what a process that is killed now leaves.
func copied(t *testing.T, dir string) string {
	t.Helper()
	out := t.TempDir()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(out, e.Name()), raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// whenDown lets time pass until a verdict is there.
func (s *shell) whenDown(t *testing.T) {
	t.Helper()
	for range 200 {
		if s.after(10 * time.Millisecond); len(s.Snapshot().Events(0)) > 0 {
			return
		}
	}
	t.Fatal("there is no verdict")
}

// An agent that is killed just after a verdict, at once or when its record is lost or
// damaged, is followed by one that raises nobody who did not answer it.
func TestKilledAfterVerdict(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"": nil, "without the record": os.Remove,
		"with a damaged record": func(path string) error { return os.WriteFile(path, []byte("[{"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				s := start(t, Config{RunDir: dir, Mode: On})
				s.after(5 * time.Second)
				s.wire.be(true, addr(2, 2), pods(2, 2))
				s.whenDown(t)
				left := copied(t, dir)
				s.stop()
				if harm != nil {
					if err := harm(filepath.Join(left, "health.json")); err != nil {
						t.Fatal(err)
					}
				}

				again := begin(t, Config{RunDir: left, Mode: On})
				defer again.stop()
				again.wire.be(true, addr(2, 2), pods(2, 2))
				again.batches <- mesh2()
				again.after(20 * time.Second)
				told := again.balancer.heard()
				if slices.Contains(told, "2/west-2 0") {
					t.Errorf("it says that the dead node is up: %v", told)
				}
				if down := slices.Contains(told, "2/west-2 15"); down != (harm == nil) {
					t.Errorf("it says that the node is down: %v; told %v", down, told)
				}
				for _, up := range []string{"1/east-2 0", "2/west-1 0", "2/ 0"} {
					if !slices.Contains(told, up) {
						t.Errorf("it does not say %s: %v", up, told)
					}
				}
				again.wire.be(false, addr(2, 2))
				again.after(3 * time.Second)
				if told := again.balancer.heard(); slices.Contains(told, "2/west-2 0") {
					t.Errorf("its pods are silent, and it is up: %v", told)
				}
				again.wire.be(false, pods(2, 2))
				again.after(40 * time.Second)
				if told := again.balancer.heard(); !slices.Contains(told, "2/west-2 0") {
					t.Errorf("it answers, and is not up: %v", told)
				}
			})
		})
	}
}

// A cluster that was down is not raised while none of it answers.
func TestKilledAfterVerdictOfCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, Config{RunDir: t.TempDir(), Mode: On})
		defer s.stop()
		all := []string{"2/ 0", "2/west-1 0", "2/west-2 0"}
		s.wire.be(true, addr(2, 1), pods(2, 1), addr(2, 2), pods(2, 2))
		s.batches <- mesh2()
		s.after(20 * time.Second)
		told := s.balancer.heard()
		for _, up := range all {
			if slices.Contains(told, up) {
				t.Errorf("it says %s: %s", up, strings.Join(told, ", "))
			}
		}
		s.wire.be(false, addr(2, 1), pods(2, 1), addr(2, 2), pods(2, 2))
		s.after(40 * time.Second)
		told = s.balancer.heard()
		for _, up := range all {
			if !slices.Contains(told, up) {
				t.Errorf("it does not say %s: %s", up, strings.Join(told, ", "))
			}
		}
	})
}
