package kubernetes

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"tombolo.io/tombolo/clustermesh/source"
)

// book is what the API said, what was delivered of it, and what is wrong with
// the rest. It is pure: who owns it passes the time.
type book struct {
	rule    source.Shrink
	shelves map[source.Kind]*shelf
	// store is the UID of kube-system in the first store that answered: what was
	// known before a kind was read is of that one. It is empty until then.
	store string
	// silence is why it cannot be asked which store answers, empty if it can.
	silence string
	// pending are the objects to deliver; first says that nothing was yet.
	pending map[source.Key]struct{}
	first   bool
	// faults are the objects that cannot be taken as they are.
	faults map[source.Key]fault
	// strays are what objects say under our domain that means nothing.
	strays map[source.Key]fault
	// unknown are those of them of which nothing was delivered, and whole kinds.
	unknown map[source.Key]struct{}
	// reported: faults, or what is held back, changed since this was last reset.
	// doubted: unknown did since it was last delivered.
	reported, doubted bool
	// origin is the one that was delivered last.
	origin string
	// moved: addresses of Services may be others' since yield looked.
	moved bool
}

// fault is what is wrong with an object.
type fault struct {
	uid      types.UID
	version  string
	mistakes []mistake
}

// shelf is what is known of one kind.
type shelf struct {
	// read: its complete set was listed. absent: nobody can list it, and what
	// there may be of it is unknown; the others do not wait for it.
	read, absent bool
	// held is what was delivered, or is about to be.
	held map[source.Key][]source.Object
	// missing are what the last list lacks: those of held, those that are unknown,
	// and without a name the whole kind, when it could not be listed before.
	missing map[source.Key]struct{}
	// store is the one that is believed for this kind, empty before its first
	// list; answer is which one answered after the last list.
	store, answer string
	// unverified: which store the list is of was not asked yet.
	unverified bool
	// suspect: that list was not to be believed when it came. What comes back or
	// is deleted afterwards does not make it any better.
	suspect bool
	guard   source.Guard
	// until is when what is missing goes, zero for never by itself.
	until time.Time
}

func newBook(rule source.Shrink) *book {
	b := &book{rule: rule, shelves: map[source.Kind]*shelf{}, pending: map[source.Key]struct{}{}, first: true,
		faults: map[source.Key]fault{}, strays: map[source.Key]fault{}, unknown: map[source.Key]struct{}{}}
	for _, k := range kinds {
		b.shelves[k.Kind] = &shelf{
			held: map[source.Key][]source.Object{}, missing: map[source.Key]struct{}{}, guard: source.Guard{Rule: rule},
		}
	}
	return b
}

// put takes in what an object says now.
func (b *book) put(k source.Kind, e *entry) {
	key, s := e.key(k), b.shelves[k]
	b.moved = b.moved || k == source.Service
	if k == source.Namespace && e.Name == metav1.NamespaceSystem && b.store == "" {
		b.store = string(e.UID)
	}
	b.found(s, key)
	b.stray(key, fault{e.UID, e.ResourceVersion, e.strays})
	was, had := s.held[key]
	if len(e.mistakes) > 0 {
		b.blame(key, fault{e.UID, e.ResourceVersion, e.mistakes}, had)
		return
	}
	b.absolve(key)
	switch {
	case len(e.objects) == 0 && had:
		delete(s.held, key)
	case len(e.objects) == 0, had && reflect.DeepEqual(was, e.objects):
		return
	default:
		s.held[key] = e.objects
	}
	b.pending[key] = struct{}{}
}

// found takes note that an object that a list lacked is there.
func (b *book) found(s *shelf, key source.Key) {
	if _, ok := s.missing[key]; ok {
		delete(s.missing, key)
		b.reported = true
	}
}

// gone takes in that an object was deleted.
func (b *book) gone(key source.Key) {
	s := b.shelves[key.Kind]
	b.found(s, key)
	b.stray(key, fault{})
	b.absolve(key)
	if _, had := s.held[key]; had {
		delete(s.held, key)
		b.pending[key] = struct{}{}
	}
}

// replace takes in a list of all there is of a kind. What it lacks is missing
// until judge says more.
func (b *book) replace(k source.Kind, all []*entry) {
	s := b.shelves[k]
	there := make(map[source.Key]struct{}, len(all))
	for _, e := range all {
		there[e.key(k)] = struct{}{}
		b.put(k, e)
	}
	for key := range s.held {
		if _, ok := there[key]; !ok {
			s.missing[key] = struct{}{}
		}
	}
	for key := range b.faults {
		if _, ok := there[key]; key.Kind == k && !ok {
			s.missing[key] = struct{}{}
		}
	}
	if kind := (source.Key{Kind: k}); s.absent {
		s.missing[kind] = struct{}{}
	}
	s.read, s.absent, s.unverified = true, false, true
	b.reported = b.reported || len(s.missing) > 0
}

// withhold takes in that nobody can list a kind. What was read of it stays.
func (b *book) withhold(k source.Kind) {
	if s := b.shelves[k]; !s.read && !s.absent {
		s.absent = true
		b.doubt(source.Key{Kind: k}, true)
	}
}

func (b *book) blame(key source.Key, f fault, had bool) {
	old, known := b.faults[key]
	b.faults[key] = f
	b.reported = b.reported || !known || !slices.Equal(old.mistakes, f.mistakes)
	b.doubt(key, !had)
}

// stray takes note of what an object says that means nothing.
func (b *book) stray(key source.Key, f fault) {
	old, had := b.strays[key]
	if !had && len(f.mistakes) == 0 || slices.Equal(old.mistakes, f.mistakes) && old.uid == f.uid {
		return
	}
	if b.reported = true; len(f.mistakes) == 0 {
		delete(b.strays, key)
	} else {
		b.strays[key] = f
	}
}

func (b *book) absolve(key source.Key) {
	if _, ok := b.faults[key]; ok {
		delete(b.faults, key)
		b.reported = true
		b.doubt(key, false)
	}
}

// doubt makes the state of a key unknown, or not.
func (b *book) doubt(key source.Key, on bool) {
	if _, is := b.unknown[key]; is == on {
		return
	}
	if b.doubted = true; on {
		b.unknown[key] = struct{}{}
	} else {
		delete(b.unknown, key)
	}
}

// unverified says whether it is to be asked which store answers.
func (b *book) unverified() bool {
	for _, s := range b.shelves {
		if s.unverified {
			return true
		}
	}
	return false
}

// silent takes in why it is not known which store answers.
func (b *book) silent(why string) {
	b.reported = b.reported || why != b.silence
	b.silence = why
}

// verified takes in which store answers: what is unverified was listed before,
// and may be of another one, if the API was lost in between. An API without the
// namespace is about to make it: where there was one, that is no answer.
func (b *book) verified(store string) {
	if store == "" && b.store != "" {
		b.silent("it has no namespace kube-system yet")
		return
	}
	b.silent("")
	b.store = cmp.Or(b.store, store)
	for _, s := range b.shelves {
		if !s.unverified {
			continue
		}
		missing, of := s.lacks()
		switch {
		case s.store == "":
			s.store = b.store
		case len(s.missing) == 0 && s.answer == store: // which answered before this list came, too
			s.store = store
		}
		s.unverified, s.answer = false, store
		b.moved = true
		s.suspect = len(s.missing) > 0 && (s.foreign() || b.rule.Suspect(of, missing))
		b.reported = b.reported || len(s.missing) > 0
	}
}

// foreign says whether the list is of another store than the one believed.
func (s *shelf) foreign() bool { return s.answer != s.store }

// lacks returns how many objects are missing, and of how many.
func (s *shelf) lacks() (missing, of int) {
	of = len(s.held)
	for key := range s.missing {
		if key.Name == "" {
			continue
		}
		if missing++; s.held[key] == nil {
			of++
		}
	}
	return missing, of
}

// judge lets go of what is missing, where that is believed, and returns when to
// judge again if nothing changes, zero for never.
func (b *book) judge(now time.Time) (next time.Time) {
	b.yield()
	for _, k := range kinds {
		s := b.shelves[k.Kind]
		if s.unverified {
			continue
		}
		ok, at := s.guard.Judge(s.suspect && len(s.missing) > 0, now)
		if ok {
			b.release(s)
			continue
		}
		if s.until = at; !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// release deletes what is missing, and believes the store that lacks it. A list
// that lacked nothing when it came is no reason to: see verified.
func (b *book) release(s *shelf) {
	if s.suspect {
		s.store, s.suspect = s.answer, false
	}
	for key := range s.missing {
		if _, had := s.held[key]; had {
			delete(s.held, key)
			b.pending[key] = struct{}{}
		}
		b.stray(key, fault{})
		b.absolve(key)
		b.doubt(key, false)
		b.reported = true
	}
	clear(s.missing)
}

// complete says whether every kind was read that can be.
func (b *book) complete() bool {
	for _, s := range b.shelves {
		if !s.read && !s.absent {
			return false
		}
	}
	return true
}

// ready says whether there is something to deliver.
func (b *book) ready() bool {
	return b.first || len(b.pending) > 0 || b.doubted || b.origin != b.believed()
}

// believed returns the store of which all kinds are that were read; while they are of
// several, the one that was delivered last.
func (b *book) believed() string {
	one := ""
	for _, s := range b.shelves {
		switch {
		case s.absent || s.store == one:
		case one != "" || s.store == "":
			return cmp.Or(b.origin, source.UnknownOrigin)
		default:
			one = s.store
		}
	}
	return cmp.Or(one, b.origin, source.UnknownOrigin)
}

// update returns what is to be delivered, and takes it for delivered.
func (b *book) update() source.Update {
	u := source.Update{Unknown: slices.Collect(maps.Keys(b.unknown))}
	if b.first {
		u.Synced, u.Full, b.first = source.Kinds[:], true, false
	}
	for key := range b.pending {
		u.Changes = append(u.Changes, source.Change{Key: key, Objects: b.shelves[key.Kind].held[key]})
	}
	clear(b.pending)
	b.origin, b.doubted = b.believed(), false
	u.Origin = b.origin
	return u
}

// objects returns how many objects there are.
func (b *book) objects() (n int) {
	for _, s := range b.shelves {
		n += len(s.held)
	}
	return n
}

// held returns what a list lacks and is not believed to be gone.
func (b *book) held() (out []source.Held) {
	for _, k := range kinds {
		s := b.shelves[k.Kind]
		if len(s.missing) == 0 {
			continue
		}
		h := source.Held{Kind: k.Kind}
		h.Missing, h.Of = s.lacks()
		switch {
		case s.unverified:
			h.Why = "the API did not say yet which store it has"
			if b.silence != "" {
				h.Why += ": " + b.silence
			}
		case s.foreign():
			h.Why = fmt.Sprintf("the API has another store than before, for the namespace kube-system has the UID %q and had %q; ", s.answer, s.store) + source.Outcome(s.until)
		default:
			h.Why = "more than half of them at once; " + source.Outcome(s.until)
		}
		out = append(out, h)
	}
	return out
}

// problems returns what is wrong, sorted.
func (b *book) problems() []source.Problem {
	return listed(b.faults)
}

// remarks returns what means nothing, sorted.
func (b *book) remarks() []source.Problem { return listed(b.strays) }

func listed(all map[source.Key]fault) (out []source.Problem) {
	for key, f := range all {
		for _, m := range f.mistakes {
			out = append(out, source.Problem{Object: key.String(), Reason: m.text})
		}
	}
	slices.SortFunc(out, func(a, b source.Problem) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Reason, b.Reason))
	})
	return out
}
