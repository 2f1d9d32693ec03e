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
	// store is the UID of kube-system in the store that is believed; foreign is
	// the one that answers now and is another, if there was an answer.
	store   string
	foreign *string
	// pending are the objects to deliver; first says that nothing was yet.
	pending map[source.Key]struct{}
	first   bool
	// faults are the objects that cannot be taken as they are.
	faults map[source.Key]fault
	// unknown are those of them of which nothing was delivered, and whole kinds.
	unknown map[source.Key]struct{}
	// reported: faults, or what is held back, changed since this was last reset.
	// doubted: unknown did since it was last delivered.
	reported, doubted bool
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
	// missing are those of held that the last list lacks.
	missing map[source.Key]struct{}
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
		faults: map[source.Key]fault{}, unknown: map[source.Key]struct{}{}}
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
	if k == source.Namespace && e.Name == metav1.NamespaceSystem && b.store == "" {
		b.store = string(e.UID)
	}
	b.found(s, key)
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
		_, ok := there[key]
		if _, had := s.held[key]; key.Kind == k && !ok && !had {
			b.absolve(key)
		}
	}
	b.doubt(source.Key{Kind: k}, false)
	s.read, s.absent = true, false
	if s.unverified = len(s.missing) > 0; s.unverified {
		b.reported = true
	}
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

// verified takes in which store answers.
func (b *book) verified(store string) {
	b.foreign = nil
	if store != b.store {
		b.foreign = &store
	}
	b.reported = true
	for _, s := range b.shelves {
		if s.unverified {
			s.unverified, s.suspect = false, b.foreign != nil || b.rule.Suspect(len(s.held), len(s.missing))
		}
	}
}

// judge lets go of what is missing, where that is believed, and returns when to
// judge again if nothing changes, zero for never.
func (b *book) judge(now time.Time) (next time.Time) {
	held := false
	for _, k := range kinds {
		s := b.shelves[k.Kind]
		if s.unverified || len(s.missing) == 0 {
			if held = held || s.unverified; !s.unverified {
				s.guard.Judge(false, now)
			}
			continue
		}
		ok, at := s.guard.Judge(s.suspect, now)
		if ok {
			b.release(s)
			continue
		}
		held = true
		if s.until = at; !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	if b.foreign != nil && !held { // all that it lacked is believed, or came back
		b.store, b.foreign = *b.foreign, nil
	}
	return next
}

// release deletes what is missing.
func (b *book) release(s *shelf) {
	for key := range s.missing {
		delete(s.held, key)
		b.absolve(key)
		b.pending[key] = struct{}{}
	}
	clear(s.missing)
	b.reported = true
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
func (b *book) ready() bool { return b.first || len(b.pending) > 0 || b.doubted }

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
	b.doubted = false
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
		h := source.Held{Kind: k.Kind, Missing: len(s.missing), Of: len(s.held)}
		switch {
		case s.unverified:
			h.Why = "the API did not say yet which store it has"
		case b.foreign != nil:
			h.Why = fmt.Sprintf("the API has another store than before, for the namespace kube-system has the UID %q and had %q; ", *b.foreign, b.store) + source.Outcome(s.until)
		default:
			h.Why = "more than half of them at once; " + source.Outcome(s.until)
		}
		out = append(out, h)
	}
	return out
}

// problems returns what is wrong, sorted.
func (b *book) problems() (out []source.Problem) {
	for key, f := range b.faults {
		for _, m := range f.mistakes {
			out = append(out, source.Problem{Object: key.String(), Reason: m.text})
		}
	}
	slices.SortFunc(out, func(a, b source.Problem) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Reason, b.Reason))
	})
	return out
}
