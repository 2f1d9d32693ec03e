package manifests

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/clustermesh/source"
)

// Config says what to read.
type Config struct {
	// Dir is the directory of manifests.
	Dir string
	// Relist is the time between two full passes, which find what watching
	// missed; 10 s by default. While the directory cannot be read, it is tried
	// every second.
	Relist time.Duration
}

const (
	defaultRelist = 10 * time.Second
	retry         = time.Second
	// grace is how long a file may be missing before its objects are: editors
	// replace a file by removing it first, and who removes a directory removes
	// its files first.
	grace = 50 * time.Millisecond
)

// Validate returns every mistake of the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("manifests: no directory is given"))
	}
	if c.Relist < 0 {
		errs = append(errs, fmt.Errorf("manifests: relist time %v is negative", c.Relist))
	}
	return errors.Join(errs...)
}

// Source watches a directory. It implements source.Source.
type Source struct {
	config Config
	log    *slog.Logger
	set    *set
	dir    directory
	status atomic.Pointer[source.Status]
	// next is when the next full pass is due, vanished are the files that are
	// missing and do not count as gone yet.
	next     time.Time
	vanished map[string]vanished
	// closing are the files that were not whole yet when their writer's close was told.
	closing map[string]look
	// away: the directory is not where it was, so that its files are missing for
	// that alone, until a pass has listed one.
	away bool
	// synced: the complete set was delivered. unknown is what was last sent.
	synced  bool
	unknown []source.Key
	// news: what the status says has changed beyond numbers.
	news bool
	// known are the problems that were logged.
	known map[source.Problem]bool
	// skipped are the kinds that were logged.
	skipped map[string]bool
}

// vanished is a file that is missing: when it counts as gone, and whether it
// was watched to go or only found missing.
type vanished struct {
	at      time.Time
	watched bool
}

// look is when a file is looked at again, and how long after the look before.
type look struct {
	at    time.Time
	pause time.Duration
}

// New returns a source that reads nothing before Run.
func New(c Config, log *slog.Logger) *Source {
	if c.Relist == 0 {
		c.Relist = defaultRelist
	}
	s := &Source{
		config: c, log: log, set: newSet(), dir: newDirectory(c.Dir),
		vanished: map[string]vanished{}, closing: map[string]look{},
		known: map[source.Problem]bool{}, skipped: map[string]bool{},
	}
	s.status.Store(&source.Status{From: "manifests in " + c.Dir})
	return s
}

// Status returns what people should know; it may be called at any time.
func (s *Source) Status() source.Status { return *s.status.Load() }

// Run watches the directory and sends updates until ctx ends. It returns an
// error when the kernel refuses to watch anything at all.
func (s *Source) Run(ctx context.Context, out chan<- source.Update) error {
	watcher, err := newInotify()
	if err != nil {
		return err
	}
	defer watcher.Close()
	seen, broken := make(chan events), make(chan error, 1)
	go func() { broken <- watcher.run(ctx, seen) }()

	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		full := false
		select {
		case <-ctx.Done():
			return nil
		case err := <-broken:
			if ctx.Err() != nil { // it ended because we do
				return nil
			}
			return err
		case e := <-seen:
			full = s.take(e, watcher.watch, time.Now())
		case now := <-timer.C:
			s.reread(now)
			full = s.bury(now) || !now.Before(s.next)
		}
		// What was watched is delivered apart from what a pass finds.
		if !s.deliver(ctx, out, false) {
			return nil
		}
		if full {
			s.pass(watcher, time.Now())
			if !s.deliver(ctx, out, true) {
				return nil
			}
		}
		timer.Reset(time.Until(s.due()))
	}
}

// due returns when there is something to do without an event.
func (s *Source) due() time.Time {
	at := s.next
	if s.away {
		return at
	}
	for _, v := range s.vanished {
		if v.at.Before(at) {
			at = v.at
		}
	}
	for _, l := range s.closing {
		if l.at.Before(at) {
			at = l.at
		}
	}
	return at
}

// take reads the files that events name, and says whether a full pass is due.
func (s *Source) take(e events, watch int32, now time.Time) (full bool) {
	arrived := map[uint32]bool{}
	for _, e := range e.list {
		if e.mask&unix.IN_MOVED_TO != 0 && isManifest(e.name) {
			arrived[e.cookie] = true
		}
	}
	closed, moved := map[string]bool{}, map[string]bool{}
	if full = e.overflow; full {
		clear(s.dir.written) // who closed what is lost
	}
	for _, e := range e.list {
		switch {
		case e.watch != watch:
			// Of a directory that was watched before.
		case e.name == "" || e.mask&maskLost != 0:
			full, s.away = true, s.away || e.mask&maskLost != 0
		case s.away: // what happens in it there is nothing that happened here
		case e.name == "..data":
			full = true // a volume of a ConfigMap was replaced; its files are links
		case !isManifest(e.name):
		case e.mask&maskGone != 0:
			delete(closed, e.name)
			delete(s.dir.written, e.name)
			if arrived[e.cookie] { // it is another manifest now, which is read as well
				moved[e.name] = true
			} else {
				s.vanished[e.name] = vanished{now.Add(grace), true}
			}
		case e.mask&maskWhole != 0 || e.mask&unix.IN_CREATE != 0 && s.dir.linked(e.name):
			closed[e.name] = true
			delete(moved, e.name)
			delete(s.vanished, e.name)
			delete(s.dir.written, e.name)
		default: // somebody made it or writes to it, and has it open
			s.dir.written[e.name] = true
		}
	}
	for name := range closed {
		s.look(name, look{now, closing}, now)
	}
	for name := range moved {
		s.end(name, now)
	}
	return full
}

// look reads a file whose writer closed it, or plans the next look when it is open
// still. In the end that is left to the passes, and to the close of another writer.
func (s *Source) look(name string, l look, now time.Time) {
	s.load(name, now)
	if _, waits := s.dir.waits[name]; !waits || l.pause > settle {
		delete(s.closing, name)
		return
	}
	s.closing[name] = look{now.Add(l.pause), 2 * l.pause}
}

// reread looks again at the files whose time has come.
func (s *Source) reread(now time.Time) {
	if s.away {
		return
	}
	for name, l := range s.closing {
		if !now.Before(l.at) {
			s.look(name, l, now)
		}
	}
}

// bury forgets the files that were watched to vanish and did not come back. It
// says whether there are others whose time has come, for a full pass.
func (s *Source) bury(now time.Time) (others bool) {
	if s.away {
		return false
	}
	for name, v := range s.vanished {
		switch {
		case now.Before(v.at):
		case v.watched:
			s.end(name, now)
		default:
			others = true
		}
	}
	return others
}

func (s *Source) load(name string, now time.Time) {
	before := s.set.files[name]
	if f := s.dir.load(name, before, now); f != before {
		s.set.put(name, f)
	}
}

// pass lists the directory and reads what changed, watched or not.
func (s *Source) pass(w *inotify, now time.Time) {
	if s.away { // so that events of it elsewhere are not taken for some of it here
		w.forget()
	}
	// Watched before it is listed, so that nothing falls between.
	err := w.add(s.config.Dir)
	var names []string
	if err == nil {
		names, err = s.dir.list()
	}
	s.reachable(err, now)
	if s.away = err != nil; s.away {
		s.next = now.Add(retry)
		clear(s.vanished)
		clear(s.closing)
		clear(s.dir.written)
		return
	}
	var wait time.Duration // for files that are being written
	for _, name := range names {
		if s.dir.due(name, now) {
			s.load(name, now)
		}
		if w, waits := s.dir.waits[name]; waits && s.dir.awaits(w, now) {
			wait = min(s.config.Relist, settle)
		}
	}
	s.dir.passed = true
	for name := range maps.Clone(s.set.files) {
		if _, listed := slices.BinarySearch(names, name); listed {
			s.found(name)
		} else {
			s.missing(name, now, wait)
		}
	}
	s.next = now.Add(cmp.Or(wait, s.config.Relist))
}

// found takes note that a file is there after all; what was watched to vanish
// has an event to come.
func (s *Source) found(name string) {
	if v, ok := s.vanished[name]; ok && !v.watched {
		delete(s.vanished, name)
	}
}

// missing lets a file that a pass did not find vanish, or, when its time has
// come, forgets it. It waits while another file is being written: it may have
// become that one.
func (s *Source) missing(name string, now time.Time, wait time.Duration) {
	v, ok := s.vanished[name]
	switch {
	case !ok:
		s.vanished[name] = vanished{now.Add(grace), false}
	case v.watched || now.Before(v.at):
	case wait > 0:
		s.vanished[name] = vanished{now.Add(wait), false}
	default:
		s.end(name, now)
	}
}

// end lets go of a file that is missing for long enough, if it is.
func (s *Source) end(name string, now time.Time) {
	delete(s.vanished, name)
	if !s.dir.gone(name) {
		s.load(name, now)
		return
	}
	s.dir.forget(name)
	s.set.put(name, nil)
}

// deliver publishes the status and sends what changed, if anything did. It
// returns false when ctx ended.
func (s *Source) deliver(ctx context.Context, out chan<- source.Update, full bool) bool {
	u := source.Update{Changes: s.set.changes(), Full: full, Unknown: s.set.doubtful()}
	if full && !s.synced && s.Status().Err == "" {
		s.synced = true
		u.Synced = source.Kinds[:]
	}
	news := s.publish()
	if len(u.Changes) == 0 && len(u.Synced) == 0 && slices.Equal(u.Unknown, s.unknown) && !news {
		return true
	}
	s.unknown = u.Unknown
	select {
	case out <- u:
		return true
	case <-ctx.Done():
		return false
	}
}
