package manifests

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// running is a source that runs on a real directory, and what its receiver has.
type running struct {
	*testing.T
	dir     string
	source  *Source
	updates chan source.Update
	have    map[source.Key]string
	last    source.Update
}

func start(t *testing.T, dir string, relist time.Duration) *running {
	t.Helper()
	s := New(Config{Dir: dir, Relist: relist}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	r := &running{T: t, dir: dir, source: s, updates: make(chan source.Update), have: map[source.Key]string{}}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, r.updates) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return r
}

// write replaces a file by writing to it in place, in two halves.
func (r *running) write(name, text string) {
	r.Helper()
	f, err := os.Create(filepath.Join(r.dir, name))
	if err != nil {
		r.Fatal(err)
	}
	for _, half := range []string{text[:len(text)/2], text[len(text)/2:]} {
		if _, err := f.WriteString(half); err != nil {
			r.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		r.Fatal(err)
	}
}

func (r *running) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *running) rename(from, to string) {
	r.Helper()
	r.must(os.Rename(filepath.Join(r.dir, from), filepath.Join(r.dir, to)))
}

// receive takes one update in.
func (r *running) receive() source.Update {
	r.Helper()
	select {
	case u := <-r.updates:
		for _, c := range u.Changes {
			if delete(r.have, c.Key); len(c.Objects) > 0 {
				r.have[c.Key] = c.Objects[0].(*clustermesh.Node).Zone
			}
		}
		r.last = u
		return u
	case <-time.After(time.Minute):
		r.Fatalf("no update; have %s, status %+v", r.text(), r.source.Status())
		panic("not reached")
	}
}

func (r *running) text() string {
	var out []string
	for k, zone := range r.have {
		out = append(out, k.Name+"="+zone)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// want takes updates until the receiver has just these nodes, and fails if it
// has them only after having lost one that is to stay.
func (r *running) want(nodes string) {
	r.Helper()
	before := strings.Fields(r.text())
	for r.text() != nodes {
		r.receive()
		for _, n := range before {
			if slices.Contains(strings.Fields(nodes), n) && !slices.Contains(strings.Fields(r.text()), n) {
				r.Fatalf("%s went for a while on the way from %v to %s", n, before, nodes)
			}
		}
	}
}

// reach takes updates until the receiver has just these nodes.
func (r *running) reach(nodes string) {
	r.Helper()
	for r.text() != nodes {
		r.receive()
	}
}

// quiet fails if anything changes within a time that is long for the source.
func (r *running) quiet() {
	r.Helper()
	select {
	case u := <-r.updates:
		if len(u.Changes) > 0 {
			r.Fatalf("unexpected changes %+v", u)
		}
	case <-time.After(4 * grace):
	}
}

// until waits for a status.
func (r *running) until(what string, is func(source.Status) bool) {
	r.Helper()
	for !is(r.source.Status()) {
		if u := r.receive(); len(u.Changes) > 0 {
			r.Fatalf("%s: unexpected changes %+v", what, u)
		}
	}
}

func nodes(s string) string {
	var b strings.Builder
	for word := range strings.FieldsSeq(s) {
		name, zone, _ := strings.Cut(word, "=")
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: Node\nmetadata: {name: %s, labels: {topology.kubernetes.io/zone: %s}}\n", name, zone)
	}
	return b.String()
}

func TestSourceLife(t *testing.T) {
	dir := t.TempDir()
	r := &running{T: t, dir: dir}
	r.write("a.yaml", nodes("n1=a n2=a"))
	r.write("b.yml", nodes("n3=b"))
	r.write("c.json", `{"apiVersion":"v1","kind":"Node","metadata":{"name":"n4"}}`)
	r.write(".hidden.yaml", nodes("n9=x"))
	r.write("README", "not YAML: [")
	r.write("a.yaml~", nodes("n9=x"))
	r = start(t, dir, time.Hour)
	u := r.receive()
	if got := r.text(); got != "n1=a n2=a n3=b n4=" || !u.Full || len(u.Unknown) > 0 || len(u.Synced) != len(source.Kinds) {
		t.Fatalf("first update: %s, %+v", got, u)
	}
	r.until("synced", func(s source.Status) bool { return s.Synced && s.Objects == 4 && len(s.Problems) == 0 })

	r.write("a.yaml", nodes("n1=b n2=a")) // in place
	r.want("n1=b n2=a n3=b n4=")
	if len(r.last.Changes) != 1 || r.last.Full {
		t.Errorf("a change of one object: %+v", r.last)
	}
	r.write("a.tmp", nodes("n1=c n2=a"))
	r.rename("a.tmp", "a.yaml") // replaced at once
	r.want("n1=c n2=a n3=b n4=")
	r.rename("a.yaml", "z.yaml") // renamed: nothing changes
	r.must(os.Remove(filepath.Join(dir, "b.yml")))
	r.want("n1=c n2=a n4=")
	for quick := false; !quick; { // as an editor does, before the grace is over
		r.write("z.yaml", nodes("n1=c n2=a"))
		r.reach("n1=c n2=a n4=")
		began := time.Now()
		r.rename("z.yaml", "z.yaml~")
		r.write("z.yaml", nodes("n1=d n2=a"))
		if quick = time.Since(began) < grace; !quick {
			r.reach("n1=d n2=a n4=")
		}
	}
	r.want("n1=d n2=a n4=")
	r.rename("c.json", "c.txt")
	r.want("n1=d n2=a")
	r.must(os.Symlink("a.yaml~", filepath.Join(dir, "link.yaml")))
	r.want("n1=d n2=a n9=x")
	r.must(os.Link(filepath.Join(dir, ".hidden.yaml"), filepath.Join(dir, "link2.yaml")))
	r.until("two names", func(s source.Status) bool { return len(s.Problems) == 1 })
}

func TestSourceReportsAndKeeps(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir, time.Hour)
	r.receive()
	r.write("a.yaml", nodes("n1=a n2=a"))
	r.want("n1=a n2=a")
	r.write("a.yaml", nodes("n1=b n2=a")+"  broken: [\n")
	r.want("n1=b n2=a")
	r.until("reported", func(s source.Status) bool {
		return len(s.Problems) == 1 && strings.HasPrefix(s.Problems[0].Place, "a.yaml:")
	})
	r.must(os.Remove(filepath.Join(dir, "a.yaml")))
	r.must(os.Mkdir(filepath.Join(dir, "a.yaml"), 0o755)) // no file: known objects stay
	r.write("b.yaml", nodes("n3=b"))
	r.receive()
	r.until("reported", func(s source.Status) bool { return s.Objects == 1 || len(s.Problems) == 1 })
	r.write("b.yaml", "apiVersion: apps/v1\nkind: Deployment\n---\n"+nodes("n3=b"))
	r.until("skipped", func(s source.Status) bool { return s.Skipped["apps/v1 Deployment"] == 1 })
}

func TestSourceDirectoryComesAndGoes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "manifests")
	r := start(t, dir, time.Hour)
	r.until("missing", func(s source.Status) bool {
		return strings.Contains(s.Err, "no such file") && !s.Synced && !s.Since.IsZero()
	})
	r.must(os.WriteFile(dir, nil, 0o644))
	r.until("a file", func(s source.Status) bool { return strings.Contains(s.Err, "not a directory") })
	r.must(os.Remove(dir))
	r.must(os.Mkdir(dir, 0o755))
	if u := r.receive(); !u.Full || len(u.Synced) == 0 || len(u.Changes) > 0 {
		t.Fatalf("an empty directory: %+v", u)
	}
	r.write("a.yaml", nodes("n1=a n2=a"))
	r.want("n1=a n2=a")

	away := dir + ".away"
	r.must(os.Rename(dir, away)) // nothing is deleted, whatever happens in there
	r.must(os.Remove(filepath.Join(away, "a.yaml")))
	r.until("away", func(s source.Status) bool { return s.Err != "" && s.Objects == 2 })
	r.quiet()
	r.dir = away // another directory, with something else
	r.write("b.yaml", nodes("n1=a n3=b"))
	r.must(os.Rename(away, dir))
	r.dir = dir
	r.want("n1=a n3=b")
	if !r.last.Full {
		t.Error("what a new directory lacks is not marked as found by a full pass")
	}
	r.write("b.yaml", nodes("n1=c n3=b")) // and this one is watched
	r.want("n1=c n3=b")
	r.until("here", func(s source.Status) bool { return s.Err == "" && s.Synced })
}

func TestSourceRemovedDirectoryDeletesNothing(t *testing.T) {
	var r *running
	for quick := false; !quick; { // whoever takes longer removes files
		dir := filepath.Join(t.TempDir(), "manifests")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		r = &running{T: t, dir: dir}
		for i := range 30 {
			r.write(fmt.Sprintf("%d.yaml", i), nodes(fmt.Sprintf("n%d=a", i)))
		}
		r = start(t, dir, time.Hour)
		r.receive()
		began := time.Now()
		r.must(os.RemoveAll(dir))
		quick = time.Since(began) < grace
	}
	r.until("gone", func(s source.Status) bool { return s.Err != "" && s.Objects == 30 })
	r.quiet()
}

// startLinked starts with a link, a.yaml, to a manifest elsewhere, where nobody watches.
func startLinked(t *testing.T) (r *running, target string) {
	t.Helper()
	target = filepath.Join(t.TempDir(), "elsewhere")
	r = start(t, t.TempDir(), 50*time.Millisecond)
	r.receive()
	r.must(os.WriteFile(target, []byte(nodes("n1=a")), 0o644))
	r.must(os.Symlink(target, filepath.Join(r.dir, "a.yaml")))
	r.want("n1=a")
	return r, target
}

func TestSourceRelistsWhatWatchingMissed(t *testing.T) {
	r, target := startLinked(t)
	r.must(os.WriteFile(target, []byte(nodes("n1=b")), 0o644)) // no event here
	r.want("n1=b")
	if !r.last.Full {
		t.Error("not marked as found by a full pass")
	}
}

// A link that leads nowhere any more deletes nothing, and is reported until it leads
// somewhere, or goes itself.
func TestSourceDanglingLink(t *testing.T) {
	r, target := startLinked(t)
	r.must(os.Remove(target))
	r.until("the link is reported, and its object stays", func(s source.Status) bool {
		return len(s.Problems) == 1 && s.Problems[0].Place == "a.yaml" && strings.Contains(s.Problems[0].Reason, "leads to") && s.Objects == 1
	})
	r.quiet()
	r.must(os.WriteFile(target, []byte(nodes("n1=b")), 0o644))
	r.want("n1=b")
	r.until("nothing is reported", func(s source.Status) bool { return len(s.Problems) == 0 })
	r.must(os.Remove(target))
	r.must(os.Remove(filepath.Join(r.dir, "a.yaml")))
	r.want("")
}

// However often the directory is listed besides, a deletion that was watched is
// delivered as one.
func TestSourceWatchedDeletionIsNeverFull(t *testing.T) {
	r := start(t, t.TempDir(), grace)
	r.receive()
	for i := range 5 {
		name := fmt.Sprintf("%d.yaml", i)
		r.write(name, nodes("n1=a n2=a"))
		r.want("n1=a n2=a")
		r.must(os.Remove(filepath.Join(r.dir, name)))
		r.want("")
		if r.last.Full {
			t.Error("a deletion that was watched is marked as found by a full pass")
		}
	}
}

func TestSourceConfigMapVolume(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	volume := func(name, text string) {
		must(os.Mkdir(filepath.Join(dir, name), 0o755))
		must(os.WriteFile(filepath.Join(dir, name, "a.yaml"), []byte(text), 0o644))
		must(os.Chtimes(filepath.Join(dir, name, "a.yaml"), time.Time{}, time.Now().Add(-time.Hour)))
		must(os.Symlink(name, filepath.Join(dir, "..data_tmp")))
		must(os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	volume("..1", nodes("n1=a"))
	must(os.Symlink("..data/a.yaml", filepath.Join(dir, "a.yaml")))
	r := start(t, dir, time.Hour)
	r.want("n1=a")
	volume("..2", nodes("n1=b"))
	r.want("n1=b")
}

func TestParseEvents(t *testing.T) {
	// Two events of a rename, then an overflow, as struct inotify_event has them.
	raw := func(wd int32, mask, cookie uint32, name string) []byte {
		b := make([]byte, 16+len(name))
		for i, v := range []uint32{uint32(wd), mask, cookie, uint32(len(name))} {
			binary.NativeEndian.PutUint32(b[4*i:], v)
		}
		copy(b[16:], name)
		return b
	}
	buf := slices.Concat(raw(3, 0x40, 7, "a.yaml\x00\x00"), raw(3, 0x80, 7, "b.yaml\x00\x00"), raw(-1, 0x4000, 0, ""))
	got := parseEvents(buf)
	want := []event{{3, 0x40, 7, "a.yaml"}, {3, 0x80, 7, "b.yaml"}}
	if !slices.Equal(got.list, want) || !got.overflow {
		t.Errorf("got %+v", got)
	}
	for n := range buf {
		parseEvents(buf[:n]) // cut short anywhere: no panic
	}
}

func TestConfigValidate(t *testing.T) {
	err := Config{Relist: -1}.Validate()
	if err == nil || !strings.Contains(err.Error(), "no directory") || !strings.Contains(err.Error(), "negative") {
		t.Errorf("got %v", err)
	}
	if err := (Config{Dir: "/x"}).Validate(); err != nil {
		t.Error(err)
	}
}

// Who ends a source while events come is not told that it broke.
func TestSourceEndsWhileEventsCome(t *testing.T) {
	dir := t.TempDir()
	for range 100 {
		s := New(Config{Dir: dir, Relist: time.Hour}, slog.New(slog.NewTextHandler(io.Discard, nil)))
		ctx, cancel := context.WithCancel(context.Background())
		updates, ended := make(chan source.Update), make(chan error, 1)
		go func() { ended <- s.Run(ctx, updates) }()
		<-updates // it watches
		go func() {
			for ctx.Err() == nil {
				select {
				case <-updates:
				case <-ctx.Done():
				}
			}
		}()
		for i := range 5 {
			if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(nodes(fmt.Sprintf("n%d=a", i))), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatalf("Run: %v", err)
		}
	}
}
