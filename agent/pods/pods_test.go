package pods

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// world is a node's directory of pods.
type world struct {
	*testing.T
	dir, run string
	source   Source // of the directory when nil
	boot     string
	epoch    counter
	node     *Node
	stop     func()
}

type counter struct{ atomic.Uint64 }

func (c *counter) Epoch() uint64     { return c.Load() }
func (c *counter) SetEpoch(n uint64) { c.Store(n) }

func newWorld(t *testing.T) *world {
	w := &world{T: t, dir: filepath.Join(t.TempDir(), "pods"), run: t.TempDir(), boot: "one"}
	if err := os.Mkdir(w.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return w
}

// start runs a Node, as an agent that starts does.
func (w *world) start() {
	w.Helper()
	source := w.source
	if source == nil {
		source = Directory(w.dir)
	}
	w.node = New(Config{Source: source, RunDir: w.run, Boot: w.boot}, &w.epoch, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	n := w.node
	go func() { done <- n.Run(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-done; err != nil {
			w.Errorf("it ended: %v", err)
		}
	}
}

// put replaces a pod's file as its writer must, at once.
func (w *world) put(uid string, addresses ...string) {
	w.Helper()
	w.raw(uid+".json", fmt.Sprintf(`{"uid":%q,"name":"demo/%s","addresses":["%s"]}`, uid, uid, strings.Join(addresses, `","`)))
}

func (w *world) raw(name, text string) {
	w.Helper()
	next := filepath.Join(w.dir, "."+name)
	if err := os.WriteFile(next, []byte(text), 0o644); err != nil {
		w.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(w.dir, name)); err != nil {
		w.Fatal(err)
	}
}

func (w *world) remove(uid string) {
	w.Helper()
	if err := os.Remove(filepath.Join(w.dir, uid+".json")); err != nil {
		w.Fatal(err)
	}
}

// until looks until something is so. What was missed is seen at the next relist.
func (w *world) until(what string, so func() bool) {
	w.Helper()
	deadline := time.After(6 * relist)
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for !so() {
		select {
		case <-look.C:
		case <-deadline:
			w.Fatalf("%s: not so after %v; problems: %q", what, 6*relist, w.node.Snapshot().Problems)
		}
	}
}

func (w *world) state(address, uid string) State {
	return w.node.Snapshot().Set.State(netip.MustParseAddr(address), uid)
}

func (w *world) is(address, uid string, want State) {
	w.Helper()
	w.until(fmt.Sprintf("%s under %s %v", uid, address, want), func() bool { return w.state(address, uid) == want })
}

func (w *world) complains(of string) {
	w.Helper()
	w.until("a complaint of "+of, func() bool { return strings.Contains(strings.Join(w.node.Snapshot().Problems, "\n"), of) })
}

// settled waits for another look: the epoch tells of what was seen a moment after it is
// published, and before that.
func (w *world) settled() {
	w.Helper()
	seen := w.node.Snapshot()
	w.raw("look.txt", "of another")
	w.until("another look", func() bool { return w.node.Snapshot() != seen })
}

// TestFollows holds that pods that come, go and change their addresses are seen,
// and that each such change, and nothing else, moves the epoch.
func TestFollows(t *testing.T) {
	w := newWorld(t)
	w.put("a", "10.1.0.1", "fd00::1")
	w.put("b", "10.1.0.2")
	w.start()
	defer w.stop()
	w.is("fd00::1", "a", Lives)
	w.is("10.1.0.2", "b", Lives)
	w.is("10.1.0.2", "a", Reused)
	w.is("10.1.0.3", "c", Ended)
	w.is("10.1.0.3", "", Unknown)
	w.settled()
	if got := w.epoch.Load(); got != 1 {
		t.Errorf("epoch %d, want 1 after the first look", got)
	}
	moves := func(what string, change func()) {
		t.Helper()
		before := w.epoch.Load()
		change()
		w.until(what+" moves the epoch", func() bool { return w.epoch.Load() > before })
	}
	moves("a pod that comes", func() { w.put("c", "10.1.0.3") })
	w.is("10.1.0.3", "c", Lives)
	moves("a pod that goes", func() { w.remove("b") })
	w.is("10.1.0.2", "b", Ended)
	moves("its address for another", func() { w.put("d", "10.1.0.2") })
	w.is("10.1.0.2", "b", Reused)
	moves("another address", func() { w.put("c", "10.1.0.4") })
	w.is("10.1.0.3", "c", Ended)

	before := w.epoch.Load()
	w.raw("c.json", `{"uid":"c","name":"demo/other","addresses":["10.1.0.4"],"more":1}`)
	w.raw("notes.txt", "of another")
	w.put("z", "10.1.0.9") // so that it has looked
	w.is("10.1.0.9", "z", Lives)
	w.settled()
	if got := w.epoch.Load(); got != before+1 {
		t.Errorf("a name that changed moves the epoch: %d, want %d", got, before+1)
	}
}

// TestBadFilesKeepWhatWasKnown holds that a file that cannot be read ends nobody,
// and says which it is.
func TestBadFilesKeepWhatWasKnown(t *testing.T) {
	w := newWorld(t)
	w.put("a", "10.1.0.1")
	w.start()
	defer w.stop()
	w.is("10.1.0.1", "a", Lives)
	w.settled()
	before := w.epoch.Load()
	w.raw("a.json", `{"uid":"a","addresses":["10.1.`)
	w.complains("a.json")
	if w.state("10.1.0.1", "a") != Lives || w.epoch.Load() != before {
		t.Errorf("a bad file: a is %v, epoch moved by %d", w.state("10.1.0.1", "a"), w.epoch.Load()-before)
	}
	w.raw("b.json", `nothing`) // who never was known
	w.complains("b.json")
	if got := w.state("10.1.0.2", "b"); got != Unknown {
		t.Errorf("of whom only a bad file is known: %v", got)
	}
	w.put("a", "10.1.0.7")
	w.remove("b")
	w.is("10.1.0.7", "a", Lives)
	w.is("10.1.0.2", "b", Ended)
	w.until("no complaint", func() bool { return len(w.node.Snapshot().Problems) == 0 })
}

// TestNothingThereEndsNobody holds that a directory that is empty, missing, or no
// directory is not taken for the end of all pods, and is followed when it is back.
func TestNothingThereEndsNobody(t *testing.T) {
	for name, c := range map[string]struct {
		gone  func(*world)
		says  string
		again func(*world)
	}{
		"empty":   {func(w *world) { w.remove("a"); w.remove("b") }, "no file of a pod", func(*world) {}},
		"missing": {func(w *world) { w.rename(w.dir, w.dir+".old") }, "no such file", func(w *world) { w.mkdir() }},
		"a file": {func(w *world) {
			w.rename(w.dir, w.dir+".old")
			w.rename(filepath.Join(w.dir+".old", "a.json"), w.dir)
		}, "not a directory", func(w *world) {
			w.rename(w.dir, w.dir+".file")
			w.mkdir()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.T = t
			w.put("a", "10.1.0.1")
			w.put("b", "10.1.0.2")
			w.start()
			defer w.stop()
			w.is("10.1.0.2", "b", Lives)
			c.gone(w)
			w.complains(c.says)
			if a, b := w.state("10.1.0.1", "a"), w.state("10.1.0.2", "b"); a != Lives && b != Lives {
				t.Errorf("a %v, b %v: both ended", a, b)
			}
			if got := w.state("10.1.0.2", "new"); got != Unknown {
				t.Errorf("who may have begun meanwhile is %v", got)
			}
			c.again(w)
			w.put("c", "10.1.0.1")
			w.is("10.1.0.1", "c", Lives)
			w.is("10.1.0.1", "a", Reused)
		})
	}
}

func (w *world) rename(from, to string) {
	w.Helper()
	if err := os.Rename(from, to); err != nil {
		w.Fatal(err)
	}
}

func (w *world) mkdir() {
	w.Helper()
	if err := os.Mkdir(w.dir, 0o755); err != nil {
		w.Fatal(err)
	}
}

// TestRestart holds that a restart moves the epoch exactly if something changed
// meanwhile, keeps what it knew of a bad file, and knows nothing of another boot.
func TestRestart(t *testing.T) {
	w := newWorld(t)
	w.put("a", "10.1.0.1")
	w.put("b", "10.1.0.2")
	w.start()
	w.is("10.1.0.2", "b", Lives)
	w.stop()

	before := w.epoch.Load()
	w.raw("a.json", "damaged")
	w.start()
	w.complains("a.json")
	w.is("10.1.0.1", "a", Lives)
	if got := w.epoch.Load(); got != before {
		t.Errorf("nothing changed, and the epoch moved from %d to %d", before, got)
	}
	w.stop()

	w.remove("b")
	w.start()
	w.is("10.1.0.2", "b", Ended)
	w.until("the epoch moves", func() bool { return w.epoch.Load() == before+1 })
	w.stop()

	w.boot = "two"
	w.start()
	defer w.stop()
	w.complains("a.json")
	if got := w.state("10.1.0.1", "a"); got != Unknown {
		t.Errorf("from before a reboot: %v", got)
	}
}

// TestHeardAgain holds that a source that is silent no more moves the epoch, although
// nothing changed: who asked meanwhile has to ask again.
func TestHeardAgain(t *testing.T) {
	w := newWorld(t)
	w.put("a", "10.1.0.1")
	w.start()
	defer w.stop()
	w.is("10.1.0.1", "a", Lives)
	w.settled()
	before := w.epoch.Load()
	w.rename(w.dir, w.dir+".old")
	w.complains("no such file")
	w.is("10.1.0.2", "b", Unknown)
	if got := w.epoch.Load(); got != before {
		t.Errorf("silence moves the epoch from %d to %d", before, got)
	}
	w.rename(w.dir+".old", w.dir)
	w.is("10.1.0.2", "b", Ended)
	w.until("the epoch moves", func() bool { return w.epoch.Load() == before+1 })
}

// TestMovedAwayWhileRead holds that a file which is not there any more ends nobody, nor
// does a link to nowhere: that its directory no longer lists it does.
func TestMovedAwayWhileRead(t *testing.T) {
	w := newWorld(t)
	w.put("a", "10.1.0.1")
	d := newDirectory(w.dir, nil)
	if err := d.pass(); err != nil {
		t.Fatal(err)
	}
	w.rename(w.dir, w.dir+".old")
	d.look("a", d.pods)
	if _, ok := d.pods["a"]; !ok {
		t.Error("its directory was moved after it was listed, and the pod ended")
	}
	w.mkdir()
	if err := os.Symlink("nowhere", filepath.Join(w.dir, "a.json")); err != nil {
		t.Fatal(err)
	}
	if err := d.pass(); err != nil || d.pods["a"].UID != "a" || d.bad["a"] == nil {
		t.Errorf("a link to nowhere: %v, pods %v, bad %v", err, d.pods, d.bad)
	}
	w.remove("a")
	w.put("b", "10.1.0.2")
	if err := d.pass(); err != nil || len(d.pods) != 1 || len(d.bad) != 0 {
		t.Errorf("deleted: %v, pods %v, bad %v", err, d.pods, d.bad)
	}
}

// TestEither holds that the first source that is there is followed, from when it is, and
// that before that what was known goes on and people are told.
func TestEither(t *testing.T) {
	w := newWorld(t)
	w.put("a", "10.1.0.1")
	w.start()
	w.is("10.1.0.1", "a", Lives)
	w.stop()
	first, second := filepath.Join(t.TempDir(), "first"), filepath.Join(t.TempDir(), "second")
	w.source = Either{Sources: []Source{Directory(first), Directory(second)}, Missing: "there is none"}
	w.start()
	defer w.stop()
	w.complains("there is none")
	w.is("10.1.0.1", "a", Lives)
	if reused, other := w.state("10.1.0.1", "new"), w.state("10.1.0.2", "b"); reused != Unknown || other != Unknown {
		t.Errorf("who may have begun meanwhile: %v at a's address, %v at another", reused, other)
	}
	w.rename(w.dir, second)
	w.dir = second
	w.put("b", "10.1.0.2")
	w.is("10.1.0.2", "b", Lives)
	if from := w.node.Snapshot().From; from != "directory "+second {
		t.Errorf("known from %q", from)
	}
}

// TestNone holds that a node of which nobody tells knows nothing, and that this is no
// fault.
func TestNone(t *testing.T) {
	w := newWorld(t)
	w.source = None{}
	w.start()
	defer w.stop()
	if s := w.node.Snapshot(); s.Set != nil || len(s.Problems) > 0 {
		t.Errorf("%+v", s)
	}
}

func TestParsePod(t *testing.T) {
	good := `{"uid":"u","addresses":["::ffff:10.0.0.1","10.0.0.1"]}`
	p, err := parsePod([]byte(good), "u")
	if err != nil || fmt.Sprint(p.Addresses) != "[10.0.0.1]" {
		t.Errorf("%s: %v, %v", good, p, err)
	}
	for _, bad := range []string{
		``, `[]`, `{}`, `{"uid":"v","addresses":["10.0.0.1"]}`, `{"uid":"u"}`, `{"uid":"u","addresses":[]}`,
		`{"uid":"u","addresses":["x"]}`, `{"uid":"u","addresses":["fe80::1%eth0"]}`, `{"uid":"u","addresses":["0.0.0.0"]}`,
		`{"uid":"u","addresses":[""]}`, good + good, good + strings.Repeat(" ", maxFile),
		`{"uid":"u","addresses":["10.0.0.1"` + strings.Repeat(`,"10.0.0.1"`, maxAddresses) + `]}`,
	} {
		if p, err := parsePod([]byte(bad), "u"); err == nil {
			t.Errorf("%.60s is taken: %v", bad, p)
		}
	}
}

func FuzzParsePod(f *testing.F) {
	f.Add([]byte(`{"uid":"u","name":"a/b","addresses":["10.0.0.1"]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if p, err := parsePod(raw, "u"); err == nil && (p.UID != "u" || len(p.Addresses) == 0) {
			t.Errorf("%q: %v", raw, p)
		}
	})
}
