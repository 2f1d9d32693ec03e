package manifests

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// stepped is a source of which a test makes the passes and tells the events, at times of
// its choice.
type stepped struct {
	*running
	watcher *inotify
	now     time.Time
}

func stepping(t *testing.T) *stepped {
	t.Helper()
	w, err := newInotify()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	dir := t.TempDir()
	s := New(Config{Dir: dir}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	return &stepped{&running{T: t, dir: dir, source: s, have: map[source.Key]string{}}, w, time.Now()}
}

// pass makes a full pass after a while.
func (r *stepped) pass(after time.Duration) {
	r.now = r.now.Add(after)
	r.source.pass(r.watcher, r.now)
	r.took()
}

// event tells an event of a file.
func (r *stepped) event(mask uint32, name string) {
	r.source.take(events{list: []event{{watch: r.watcher.watch, mask: mask, name: name}}}, r.watcher.watch, r.now)
	r.took()
}

func (r *stepped) took() {
	r.source.publish()
	for _, c := range r.source.set.changes() {
		if delete(r.have, c.Key); len(c.Objects) > 0 {
			r.have[c.Key] = c.Objects[0].(*clustermesh.Node).Zone
		}
	}
}

// expect compares what a receiver has, and how many problems are told.
func (r *stepped) expect(nodes string, problems int) {
	r.Helper()
	if got := r.text(); got != nodes {
		r.Fatalf("got %q, want %q", got, nodes)
	}
	if got := r.source.Status().Problems; len(got) != problems {
		r.Fatalf("got problems %+v, want %d", got, problems)
	}
}

// open opens a file and writes to it.
func (r *stepped) open(name, text string) *os.File {
	r.Helper()
	f, err := os.Create(filepath.Join(r.dir, name))
	r.must(err)
	_, err = f.WriteString(text)
	r.must(err)
	return f
}

// A file that is open for writing is not read, however long its writer pauses, and that
// this lasts is told.
func TestOpenFileIsNotRead(t *testing.T) {
	known := func(r *stepped) {}
	// As where the kernel does not say: what was watched has to do.
	watched := func(r *stepped) { r.source.dir.ask = func(*os.File) (bool, bool) { return true, false } }
	for name, prepare := range map[string]func(*stepped){"known": known, "watched": watched} {
		t.Run(name, func(t *testing.T) {
			r := stepping(t)
			prepare(r)
			r.write("a.yaml", nodes("n1=a n2=a"))
			r.pass(0)
			r.expect("n1=a n2=a", 0)

			f := r.open("a.yaml", nodes("n1=b"))
			r.event(unix.IN_MODIFY, "a.yaml")
			r.pass(time.Hour)
			r.expect("n1=a n2=a", 0)
			r.pass(patience)
			r.expect("n1=a n2=a", 1)
			p := r.source.Status().Problems[0]
			if p.Place != "a.yaml" || !strings.Contains(p.Reason, "open for writing") {
				t.Errorf("told as %+v", p)
			}
			_, err := f.WriteString(nodes("n2=b"))
			r.must(err)
			r.must(f.Close())
			r.event(unix.IN_CLOSE_WRITE, "a.yaml")
			r.expect("n1=b n2=b", 0)
		})
	}
}

// A file that the close of another writer names is read when the last one closes it.
func TestFileOfTwoWriters(t *testing.T) {
	r := stepping(t)
	r.write("a.yaml", nodes("n1=a n2=a"))
	r.pass(0)
	f := r.open("a.yaml", nodes("n1=b"))
	r.event(unix.IN_CLOSE_WRITE, "a.yaml")
	r.expect("n1=a n2=a", 0)
	if at := r.source.due(); at.After(r.now.Add(closing)) {
		t.Errorf("looked at again only after %v", at.Sub(r.now))
	}
	r.must(f.Close())
	r.now = r.now.Add(closing)
	r.source.reread(r.now)
	r.took()
	r.expect("n1=b", 0)
}

// Of a file that is open at the start nothing is known, and anything may be in it.
func TestOpenFileAtTheStart(t *testing.T) {
	r := stepping(t)
	f := r.open("a.yaml", nodes("n1=a"))
	r.pass(0)
	r.expect("", 1)
	if got := r.source.set.doubtful(); !slices.Equal(got, []source.Key{{}}) {
		t.Errorf("in doubt: %v", got)
	}
	r.must(f.Close())
	r.pass(time.Hour)
	r.expect("n1=a", 0)
	if got := r.source.set.doubtful(); len(got) > 0 {
		t.Errorf("in doubt: %v", got)
	}
}

// A file that its writer removes again before it was read is missing, which is no reason
// to end its objects at once.
func TestFileThatIsGoneWhenItIsRead(t *testing.T) {
	r := stepping(t)
	r.write("a.yaml", nodes("n1=a"))
	r.pass(0)
	r.must(os.Remove(filepath.Join(r.dir, "a.yaml")))
	r.event(unix.IN_CLOSE_WRITE, "a.yaml")
	r.expect("n1=a", 0)
	r.event(unix.IN_DELETE, "a.yaml")
	r.now = r.now.Add(grace)
	r.source.bury(r.now)
	r.took()
	r.expect("", 0)
}

// However often and quickly a file is written anew in place, no half of it counts, and
// the last state does without a pass.
func TestFileThatIsWrittenAllTheTime(t *testing.T) {
	r := start(t, t.TempDir(), time.Hour)
	r.receive()
	var all []string
	for i := range 50 {
		all = append(all, fmt.Sprintf("n%d=a", i))
	}
	slices.Sort(all)
	last := strings.Join(all, " ")
	r.write("a.yaml", nodes(last))
	r.want(last)
	anew := func(i int) string { return strings.ReplaceAll(last, "=a", fmt.Sprintf("=z%d", i)) }
	const times = 200
	written := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < times && err == nil; i++ {
			err = os.WriteFile(filepath.Join(r.dir, "a.yaml"), []byte(nodes(anew(i))), 0o644)
		}
		written <- err
	}()
	for r.text() != anew(times-1) {
		if r.receive(); len(r.have) != len(all) {
			t.Fatalf("some objects went for a while: %s", r.text())
		}
	}
	r.must(<-written)
}
