package health

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
)

// state returns what is thought of a cluster or node, empty when nothing is.
func (s *shell) state(cluster, node string) clustermesh.VerdictState {
	for _, v := range s.Snapshot().Verdicts {
		if v.Cluster == cluster && v.Node == node {
			return v.State
		}
	}
	return ""
}

// verdicts returns what the balancer was told but places.
func (l *listener) verdicts() []string {
	return slices.DeleteFunc(l.heard(), func(t string) bool { return strings.Contains(t, " at ") })
}

// Without the store a node that dies is noticed by what is remembered; nobody is said
// to be up, and nobody flaps when the store is back.
func TestRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := start(t, Config{RunDir: dir, Mode: On})
		if s.Snapshot().Remembered != nil {
			t.Errorf("remembered: %+v", s.Snapshot().Remembered)
		}
		s.after(10 * time.Minute)
		s.stop()
		stopped := time.Now()
		time.Sleep(time.Hour)

		s = begin(t, Config{RunDir: dir, Mode: On})
		defer s.stop()
		s.after(3 * time.Second)
		told := s.balancer.heard()
		if len(told) != 4 || !slices.Contains(told, "2/west-2 at [172.20.2.2], [10.2.2.0/24]") {
			t.Errorf("told %q", told)
		}
		if r := s.Snapshot().Remembered; r == nil || !r.Since.Equal(stopped) || !slices.Equal(r.Clusters, []string{"east", "west"}) {
			t.Errorf("remembered: %+v, want since %v", r, stopped)
		}
		s.wire.be(true, addr(2, 2), pods(2, 2))
		s.after(time.Second)
		if told := s.balancer.verdicts(); !slices.Equal(told, []string{"2/west-2 15"}) {
			t.Errorf("told %q", told)
		}
		s.batches <- mesh2()
		s.after(5 * time.Second)
		if s.Snapshot().Remembered != nil || s.state("west", "west-2") != clustermesh.VerdictDown {
			t.Errorf("listed: %+v, west-2 is %s", s.Snapshot().Remembered, s.state("west", "west-2"))
		}
		if told := s.balancer.verdicts(); slices.ContainsFunc(told, func(t string) bool { return !strings.HasSuffix(t, " 0") || t == "2/west-2 0" }) || len(told) != 5 {
			t.Errorf("told %q", told)
		}
		if e := s.Snapshot().Events(0); len(e) != 1 {
			t.Errorf("events %+v", e)
		}
	})
}

// What was down before is so still while it lives another life, until the store says
// what runs there.
func TestRememberedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := start(t, Config{RunDir: dir, Mode: On})
		s.wire.be(true, addr(2, 2), pods(2, 2))
		s.after(time.Second)
		s.stop()

		s = begin(t, Config{RunDir: dir, Mode: On})
		defer s.stop()
		s.wire.live(7)
		s.after(time.Minute)
		if told := s.balancer.verdicts(); !slices.Equal(told, []string{"2/west-2 15"}) {
			t.Errorf("told %q", told)
		}
		s.batches <- mesh2()
		s.after(time.Minute)
		if got := s.state("west", "west-2"); got != clustermesh.VerdictUp {
			t.Errorf("with a fresh mirror it is %s", got)
		}
	})
}

// Who never answered is unmonitored, and what the balancer may hold against it stays.
func TestRememberedUnmonitored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := start(t, Config{RunDir: dir, Mode: On})
		s.stop()
		if err := os.Remove(filepath.Join(dir, "health.json")); err != nil {
			t.Fatal(err)
		}
		s = begin(t, Config{RunDir: dir, Mode: On})
		defer s.stop()
		s.wire.be(true, addr(2, 1), pods(2, 1), addr(2, 2), pods(2, 2))
		s.after(time.Minute)
		if told := s.balancer.verdicts(); len(told) != 0 || s.state("west", "west-1") != clustermesh.VerdictUnmonitored {
			t.Errorf("told %q, west-1 is %s", told, s.state("west", "west-1"))
		}
	})
}

// A file that is not ours, or not whole, is said to be so, and replaced by what the
// store says.
func TestSurveyRefused(t *testing.T) {
	for what, change := range map[string]func(string) string{
		"cut short":      func(s string) string { return s[:len(s)/2] },
		"another kind":   func(string) string { return `[1]` },
		"newer":          func(s string) string { return strings.Replace(s, `"version":1`, `"version":2`, 1) },
		"unknown field":  func(s string) string { return strings.Replace(s, `"version":1`, `"version":1,"x":1`, 1) },
		"another node's": func(s string) string { return strings.Replace(s, `"node":"east-1"`, `"node":"east-2"`, 1) },
		"without us":     func(s string) string { return strings.Replace(s, `"name":"east-1"`, `"name":"east-3"`, 1) },
		"a node twice":   func(s string) string { return strings.Replace(s, `"name":"east-2"`, `"name":"east-1"`, 1) },
		"an id twice":    func(s string) string { return strings.Replace(s, `"id":2`, `"id":1`, 1) },
		"a bad id":       func(s string) string { return strings.Replace(s, `"id":2`, `"id":0`, 1) },
		"a bad name":     func(s string) string { return strings.Replace(s, `"name":"west-1"`, `"name":"West 1"`, 1) },
		"a bad address":  func(s string) string { return strings.Replace(s, `172.20.2.1"`, `172.20.2.300"`, 1) },
		"a prefix off":   func(s string) string { return strings.Replace(s, `10.2.1.0/24"`, `10.2.1.0/99"`, 1) },
		"own elsewhere":  func(s string) string { return strings.Replace(s, `"cluster":"east"`, `"cluster":"north"`, 1) },
	} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			s := start(t, Config{RunDir: dir, Mode: On})
			s.stop()
			path := filepath.Join(dir, surveyFile)
			good, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			bad := change(string(good))
			if bad == string(good) {
				t.Fatalf("%s: nothing is changed in %s", what, good)
			}
			if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
				t.Fatal(err)
			}
			s = begin(t, Config{RunDir: dir, Mode: On})
			s.after(3 * time.Second)
			if snap := s.Snapshot(); !strings.Contains(snap.Problem, surveyFile) || len(snap.Verdicts) != 0 || snap.Remembered != nil {
				t.Errorf("%s: %+v", what, snap)
			}
			s.batches <- mesh2()
			s.after(3 * time.Second)
			if snap := s.Snapshot(); snap.Problem != "" || len(snap.Verdicts) != 6 {
				t.Errorf("%s, and the store is there: %+v", what, snap)
			}
			s.stop()
			if again, err := os.ReadFile(path); err != nil || string(again) == bad {
				t.Errorf("%s: it is not replaced: %v", what, err)
			}
		})
	}
}

// What is of another cluster is let go when the store says which one this is.
func TestSurveyOfAnotherCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		start(t, Config{RunDir: dir, Mode: On}).stop()
		path := filepath.Join(dir, surveyFile)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(text), `"east"`, `"north"`)), 0o600); err != nil {
			t.Fatal(err)
		}
		s := begin(t, Config{RunDir: dir, Mode: On})
		defer s.stop()
		s.after(3 * time.Second)
		if s.state("north", "") == "" {
			t.Fatalf("not used: %+v", s.Snapshot())
		}
		s.batches <- mesh2()
		s.after(3 * time.Second)
		if s.state("north", "") != "" || s.state("east", "") == "" || s.Snapshot().Remembered != nil {
			t.Errorf("%+v", s.Snapshot())
		}
	})
}

// What is remembered of a cluster holds until the store has listed it, or says that it
// is no peer.
func TestRemembering(t *testing.T) {
	old := survey{Cluster: "east", Node: "east-1", Clusters: []surveyed{{Name: "east", remembered: true}, {Name: "west", As: "west", remembered: true}}}
	for what, c := range map[string]struct {
		without string // keys that hold it are not told
		want    []string
	}{
		"all listed":       {"none", []string{"east", "west"}},
		"mirror unlisted":  {"/synced/", nil},
		"mirror not there": {"mirror/west/", []string{"east", "west remembered"}},
		"half a mirror":    {"mirror/west/synced/nodes", []string{"east", "west remembered"}},
		"no peer":          {"peers/west", []string{"east"}},
	} {
		b := mesh2()
		b.Events = slices.DeleteFunc(b.Events, func(e etcd.Event[clustermesh.Object]) bool { return strings.Contains(e.Key, c.without) })
		v := view.New("east-1")
		v.Apply(b)
		s, ok := look(v, "east-1", time.Unix(1, 0))
		got := map[string]bool{}
		for _, c := range s.remembering(old, v).Clusters {
			name := c.Name
			if c.remembered {
				name += " remembered"
			}
			got[name] = true
		}
		if !ok {
			got = nil
		}
		if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, c.want) {
			t.Errorf("%s: %q, want %q", what, names, c.want)
		}
	}
}

// tell has the store say of a cluster what it calls itself.
func (s *shell) tell(area clustermesh.Area, mirror string, c *clustermesh.Cluster) {
	key := clustermesh.KeyOf(area, c)
	key.Cluster = mirror
	s.batches <- view.Batch{Events: []etcd.Event[clustermesh.Object]{{Op: etcd.Put, Key: key.String(), Value: c, Revision: 2}}}
	s.after(10 * time.Second)
}

// Our own cluster gets another name: this node is not taken for another's.
func TestOwnClusterRenamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, Config{RunDir: t.TempDir(), Mode: On})
		defer s.stop()
		s.wire.be(true, addr(1, 1), pods(1, 1), addr(2, 2), pods(2, 2)) // nobody answers itself
		s.after(3 * time.Second)
		s.tell(clustermesh.Export, "", &clustermesh.Cluster{Name: "north", ID: 1})
		if s.state("north", "east-1") != clustermesh.VerdictUp || s.state("north", "east-2") != clustermesh.VerdictUp || s.state("east", "") != "" {
			t.Errorf("%+v", s.Snapshot().Verdicts)
		}
		// Who is dead stays so.
		if s.state("west", "west-2") != clustermesh.VerdictDown {
			t.Errorf("%+v", s.Snapshot().Verdicts)
		}
	})
}

// A peer gets another id: what is known of its nodes holds under the new one, and no
// more under the old one.
func TestClusterRenumbered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, Config{RunDir: t.TempDir(), Mode: On})
		defer s.stop()
		s.wire.be(true, addr(2, 2), pods(2, 2))
		s.after(3 * time.Second)
		s.balancer.heard()
		s.tell(clustermesh.Mirror, "west", &clustermesh.Cluster{Name: "west", ID: 9})
		if told := s.balancer.verdicts(); !slices.Equal(told, []string{"2/west-2 0", "9/west-2 15"}) {
			t.Errorf("told %q", told)
		}
	})
}

// An id that passes from one peer to another at once: what holds is what the new one is.
func TestIDPassesOn(t *testing.T) {
	for range 200 { // they are in no order
		h := New(Config{}, Deps{})
		h.ordered = map[Name]ordered{{Cluster: "west"}: {down: loadbalancer.ClusterDown}, {Cluster: "north"}: {down: loadbalancer.ClusterDown}}
		h.mesh.ids = map[string]uint16{"west": 9, "north": 2}
		h.renumber(map[string]uint16{"west": 2, "north": 5})
		held := map[uint16]loadbalancer.Health{}
		for _, o := range h.told {
			held[o.verdict.Cluster] = o.verdict.Down
		}
		if want := map[uint16]loadbalancer.Health{2: loadbalancer.ClusterDown, 5: 0, 9: loadbalancer.ClusterDown}; !maps.Equal(held, want) {
			t.Fatalf("told %v, want %v", held, want)
		}
	}
}
