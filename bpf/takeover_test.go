package bpf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"tombolo.io/tombolo/bpf/bpftest"
)

// client connects to a frontend without a pause until it is stopped, and notes
// what went wrong.
type client struct {
	stop  func()
	done  chan struct{}
	asked int
	wrong []error
}

// startClient starts a client whose place has the world's first backend.
func startClient(t *testing.T, w *world, f Frontend, want string) *client {
	t.Helper()
	place := w.NewPlace(t)
	place.Serve(t, w.Backends.Read(1).Address, want)
	ctx, cancel := context.WithCancel(t.Context())
	c := &client{done: make(chan struct{}), stop: cancel}
	t.Cleanup(func() { cancel(); <-c.done })
	first := make(chan struct{})
	go func() {
		defer close(c.done)
		for ctx.Err() == nil {
			if err := askOnce(place, f, want); err != nil {
				c.wrong = append(c.wrong, err)
			}
			if c.asked++; c.asked == 1 {
				close(first)
			}
		}
	}()
	<-first
	return c
}

func askOnce(place *bpftest.Place, f Frontend, want string) error {
	fd, err := place.NewSocket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, bpftest.Sockaddr(f.Address, false)); err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	got, _, err := bpftest.Receive(fd)
	if err == nil && got != want {
		err = fmt.Errorf("%q answered", got)
	}
	return err
}

func (c *client) finish(t *testing.T) {
	t.Helper()
	c.stop()
	<-c.done
	if len(c.wrong) > 0 || c.asked < 10 {
		t.Errorf("of %d connections %d failed: %v", c.asked, len(c.wrong), errors.Join(c.wrong[:min(3, len(c.wrong))]...))
	}
}

// begin makes a world with one service of one backend, and a client under load.
func begin(t *testing.T) (*world, Frontend, *client) {
	t.Helper()
	w := newWorld(t)
	f := tcp("10.96.0.1:80")
	w.put(t, 1, f, active(w.Serve(t, local[false], "one")))
	return w, f, startClient(t, w, f, "one")
}

// close ends the process's part, as a kill does: only pins remain.
func (w *world) close(t *testing.T) {
	t.Helper()
	if err := w.Datapath.Close(); err != nil {
		t.Fatal(err)
	}
	*w.Datapath = Datapath{cfg: w.cfg}
}

// A process that starts again finds the maps as they were, replaces the
// programs, and no connection fails, neither without nor with it.
func TestTakeOver(t *testing.T) {
	w, f, client := begin(t)
	for range 3 {
		before := w.attached(t)
		services, err := w.Frontends.All()
		if err != nil {
			t.Fatal(err)
		}
		w.close(t)
		if got := w.ask(t, w.Place, f); got != "one" {
			t.Errorf("with no process %q answered", got)
		}
		w.Datapath = load(t, w.Env, SmallSizes())
		if !w.Restored() {
			t.Fatal("the maps were not taken over")
		}
		if again, err := w.Frontends.All(); err != nil || !maps.Equal(again, services) {
			t.Errorf("frontends %v became %v (%v)", services, again, err)
		}
		if err := w.Attach(); err != nil {
			t.Fatal(err)
		}
		after := w.attached(t)
		for h, program := range after {
			if program == before[h] {
				t.Errorf("%s was not swapped", h)
			}
		}
		if len(after) != len(hooks) {
			t.Errorf("attached: %v", after)
		}
	}
	client.finish(t)
}

// attached returns the programs of the pinned links.
func (w *world) attached(t *testing.T) map[string]uint32 {
	t.Helper()
	all := make(map[string]uint32)
	for _, h := range hooks {
		id, err := linkProgram(w.pins.link(h))
		if err != nil {
			t.Fatal(err)
		}
		all[h.name] = uint32(id)
	}
	return all
}

// connected returns a socket that is connected to a frontend.
func (w *world) connected(t *testing.T, f Frontend) int {
	t.Helper()
	fd := w.Socket(t, unix.AF_INET, unix.SOCK_STREAM, 0)
	if err := unix.Connect(fd, bpftest.Sockaddr(f.Address, false)); err != nil {
		t.Fatal(err)
	}
	return fd
}

// What a socket was connected to is known still when other maps take the place of
// those that it was noted in, also of a layout in which each had a storage of its own.
func TestSocketsAreInherited(t *testing.T) {
	w := newCrowdedWorld(t, socketWays)
	f := tcp("10.96.0.1:80")
	w.put(t, 1, f, active(w.Serve(t, local[false], "one")))
	var fds []int
	for range 2 * socketWays {
		fds = append(fds, w.connected(t, f))
	}
	spilled := fds[socketWays:]
	check := func(what string, fds []int) {
		t.Helper()
		for _, fd := range fds {
			if got := peer(t, fd); got != f.Address {
				t.Fatalf("%s: a socket connected to %v shows %v", what, f, got)
			}
		}
	}
	check("before", fds)
	backend := w.Backends.Read(1)
	replace := func(sizes Sizes) {
		t.Helper()
		w.Datapath, w.backends, w.slots = load(t, w.Env, sizes), 1, 0
		if w.Restored() {
			t.Fatal("the maps were taken over")
		}
		w.put(t, 1, f, backend)
		if err := w.Attach(); err != nil {
			t.Fatal(err)
		}
	}
	sizes := w.cfg.sizes()
	sizes.Slots = 1 << 12
	w.close(t)
	replace(sizes)
	check("with other sizes", fds)

	old := w.dir
	w.close(t)
	v1 := filepath.Join(pinsOf(w.cfg.BPFFS).maps(), "v1")
	rename(t, old, filepath.Join(v1, "a"))
	rename(t, filepath.Join(v1, "a", mapsMapSocketSpill), filepath.Join(v1, "a", "sockets"))
	replace(sizes)
	check("with layout v1", spilled)
	fds = append(fds, w.connected(t, f))
	check("connected since", fds[len(fds)-1:])
}

// rename moves a file of a bpffs, or a folder's files: folders cannot be moved there.
func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(from)
	if err != nil { // a map
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, e := range entries {
		rename(t, filepath.Join(from, e.Name()), filepath.Join(to, e.Name()))
	}
	if err := os.Remove(from); err != nil {
		t.Fatal(err)
	}
}

// Maps of other sizes are made beside those in use, filled, and swapped; then
// the old are gone. And back again.
func TestOtherSizes(t *testing.T) {
	w, _, client := begin(t)
	for _, slots := range []uint32{1 << 12, 1 << 13} {
		old := w.dir
		backend := w.Backends.Read(1)
		w.close(t)
		sizes := SmallSizes()
		sizes.Slots = slots
		next := load(t, w.Env, sizes)
		if next.Restored() {
			t.Fatal("maps of another size were taken over")
		}
		if all, err := next.Frontends.All(); err != nil || len(all) != 0 {
			t.Errorf("the new maps hold %v (%v)", all, err)
		}
		w.Datapath, w.backends, w.slots = next, 1, 0
		w.put(t, 1, tcp("10.96.0.1:80"), backend)
		if err := w.Attach(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) || old == w.dir {
			t.Errorf("after the swap from %s to %s: %v", old, w.dir, err)
		}
	}
	client.finish(t)
}

// A swap that was cut short after any link is finished by the next process,
// with the new maps, and nobody is refused meanwhile.
func TestSwapCutShort(t *testing.T) {
	for _, done := range []int{0, 1, 5, len(hooks)} {
		w, _, client := begin(t)
		backend := w.Backends.Read(1)
		w.close(t)
		sizes := SmallSizes()
		sizes.Slots = 1 << 12
		w.Datapath, w.backends, w.slots = load(t, w.Env, sizes), 1, 0
		w.put(t, 1, tcp("10.96.0.1:80"), backend)
		cgroup, err := cgroupID(w.cfg.Cgroup)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range hooks[:done] {
			if err := w.attach(h, cgroup); err != nil {
				t.Fatal(err)
			}
		}
		dir := w.dir
		w.close(t)
		w.Datapath = load(t, w.Env, sizes)
		if w.dir != dir || w.Restored() != (done > 0) {
			t.Errorf("after %d links: maps in %s instead of %s, restored %v", done, w.dir, dir, w.Restored())
		}
		if !w.Restored() {
			w.backends, w.slots = 1, 0
			w.put(t, 1, tcp("10.96.0.1:80"), backend)
		}
		if err := w.Attach(); err != nil {
			t.Fatal(err)
		}
		if left, err := w.pins.instances(); err != nil || len(left) != 1 {
			t.Errorf("after %d links: %v is left (%v)", done, left, err)
		}
		client.finish(t)
	}
}

// Another layout version, older or newer, is kept until the swap, and then gone.
func TestOtherLayout(t *testing.T) {
	w, _, client := begin(t)
	backend := w.Backends.Read(1)
	dir := w.dir
	w.close(t)
	other := filepath.Join(filepath.Dir(filepath.Dir(dir)), "v0")
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, filepath.Join(other, "a")); err != nil {
		t.Fatal(err)
	}
	w.Datapath, w.backends, w.slots = load(t, w.Env, SmallSizes()), 1, 0
	if w.Restored() {
		t.Fatal("maps of another layout were taken over")
	}
	w.put(t, 1, tcp("10.96.0.1:80"), backend)
	if err := w.Attach(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(other); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the other layout is still there: %v", err)
	}
	client.finish(t)
}

// The cgroup was removed and made again under the same name, as after a reboot
// of a container: the links follow.
func TestCgroupMadeAnew(t *testing.T) {
	env := bpftest.New(t)
	cgroup := filepath.Join(env.Cgroup, "node")
	remake := func() {
		t.Helper()
		if err := os.Remove(cgroup); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if err := os.Mkdir(cgroup, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	remake()
	t.Cleanup(func() { os.Remove(cgroup) })
	inner := &bpftest.Env{BPFFS: env.BPFFS, Cgroup: cgroup}
	d := load(t, inner, SmallSizes())
	for range 2 {
		if err := d.Attach(); err != nil {
			t.Fatal(err)
		}
		remake()
	}
	if err := d.Attach(); err != nil {
		t.Fatal(err)
	}
	w := &world{Env: inner, Datapath: d, backends: 1}
	t.Run("sockets", func(t *testing.T) {
		inner.Place = inner.NewPlace(t)
		f := tcp("10.96.0.1:80")
		w.put(t, 1, f, active(w.Serve(t, local[false], "one")))
		if got := w.ask(t, w.Place, f); got != "one" {
			t.Errorf("%q answered", got)
		}
	})
}

// The program that looks on when connections open is there while somebody asks for
// it, and a process that takes over leaves that as it was.
func TestHear(t *testing.T) {
	w := newWorld(t)
	path := w.pins.link(hook{name: "opening"})
	if slices.Contains(LinkPins(w.cfg), path) {
		t.Errorf("%s counts as always there", path)
	}
	for _, hear := range []bool{true, true, false, false, true} {
		if err := w.Hear(hear); err != nil {
			t.Fatal(err)
		}
		w.close(t)
		w.Datapath = load(t, w.Env, SmallSizes())
		if err := w.Attach(); err != nil {
			t.Fatal(err)
		}
		if exists(path) != hear {
			t.Errorf("asked for: %v, attached: %v", hear, !hear)
		}
	}
}

// One process at a time.
func TestInUse(t *testing.T) {
	w := newWorld(t)
	if _, err := Load(w.cfg, slog.New(slog.DiscardHandler)); !errors.Is(err, ErrInUse) {
		t.Errorf("loading twice: %v", err)
	}
	if err := Uninstall(w.cfg); !errors.Is(err, ErrInUse) {
		t.Errorf("uninstalling while in use: %v", err)
	}
	if got := w.attached(t); len(got) != len(hooks) {
		t.Errorf("attached: %v", got)
	}
}

// Nothing remains: no pin, no program at the cgroup, and clients reach what
// they ask for. Connected sockets stay connected. Doing it again is no error.
func TestUninstall(t *testing.T) {
	w := newWorld(t)
	f := tcp("10.96.0.1:80")
	backend := w.Serve(t, local[false], "one")
	w.put(t, 1, f, active(backend))
	fd, err := w.Connect(t, f.Address)
	if err != nil {
		t.Fatal(err)
	}
	cfg := w.cfg
	w.close(t)
	for range 2 {
		if err := Uninstall(cfg); err != nil {
			t.Fatal(err)
		}
	}
	left, err := os.ReadDir(cfg.BPFFS)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		// Every bpffs has these two of the kernel's.
		if e.Name() != "maps.debug" && e.Name() != "progs.debug" {
			t.Errorf("%s is left", e.Name())
		}
	}
	if foreign, err := foreignAt(cfg.Cgroup, nil); err != nil || len(foreign) > 0 {
		t.Errorf("still attached: %v (%v)", foreign, err)
	}
	if got := peer(t, fd); got != backend {
		t.Errorf("the connection's peer is %s", got)
	}
	if got := bpftest.Read(t, fd); got != "one" {
		t.Errorf("%q answered", got)
	}
}

// What is wrong with the places is said, and how to mend it.
func TestWrongPlaces(t *testing.T) {
	env := bpftest.New(t)
	for _, c := range []struct{ bpffs, cgroup, want string }{
		{t.TempDir(), env.Cgroup, "mount -t bpf"},
		{env.BPFFS, t.TempDir(), "findmnt -t cgroup2"},
		{env.BPFFS + "/none", env.Cgroup, "no such file"},
		{"bpffs", env.Cgroup, "not an absolute path"},
	} {
		_, err := Load(Config{BPFFS: c.bpffs, Cgroup: c.cgroup}, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("bpffs %s, cgroup %s: %v", c.bpffs, c.cgroup, err)
		}
	}
}

// A process that loads, attaches, asks and closes has as many open files and
// mappings of maps as before, also when loading fails.
func TestNothingLeaks(t *testing.T) {
	env := bpftest.New(t)
	cfg := Config{BPFFS: env.BPFFS, Cgroup: env.Cgroup, Sizes: SmallSizes()}
	turn := func() {
		t.Helper()
		d, err := Load(cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		_, failed := Load(cfg, slog.New(slog.DiscardHandler))
		_, asked := d.Foreign()
		if err := errors.Join(d.Attach(), asked, d.Grace(), d.Close(), Uninstall(cfg)); err != nil || failed == nil {
			t.Fatal(err, failed)
		}
	}
	turn() // what the libraries keep is open after this
	files, mappings := held(t)
	for range 3 {
		turn()
	}
	if f, m := held(t); f != files || m != mappings {
		t.Errorf("%d files and %d mappings became %d and %d", files, mappings, f, m)
	}
}

func held(t *testing.T) (files, mappings int) {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	// Those that are only read are the library's, which unmaps them at its leisure.
	for line := range strings.Lines(string(maps)) {
		if strings.Contains(line, "bpf-map") && strings.Contains(line, " rw-s ") {
			mappings++
		}
	}
	return len(open), mappings
}
