package etcd

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// past is a store that remembers all: at revision i its keys were states[i],
// which changes[i] led to. It can be rewound.
type past struct {
	id      uint64
	changes [][]change
	states  []map[string]KV
	floor   int // compacted below
	// doubtful is the revision up to which markers are not to be believed by
	// the reader, which saw the store before it was rewound to there.
	doubtful int64
}

func newPast(id uint64, epoch string) *past {
	p := &past{id: id, changes: [][]change{nil}, states: []map[string]KV{{}}}
	p.write(put("epoch", epoch))
	return p
}

func put(key, value string) change { return change{KV: KV{Key: key, Value: []byte(value)}} }
func del(key string) change        { return change{KV: KV{Key: key}, deleted: true} }

func (p *past) head() int            { return len(p.states) - 1 }
func (p *past) now() map[string]KV   { return p.states[p.head()] }
func (p *past) epochAt(r int) string { return string(p.states[r]["epoch"].Value) }

func (p *past) write(cs ...change) {
	state := maps.Clone(p.now())
	cs = slices.Clone(cs)
	for i := range cs {
		cs[i].Revision = int64(len(p.states))
		if cs[i].deleted {
			delete(state, cs[i].Key)
		} else {
			state[cs[i].Key] = cs[i].KV
		}
	}
	p.changes, p.states = append(p.changes, cs), append(p.states, state)
}

// rewind takes the store back to a revision, as a raw copy of its files does.
// It is news to a reader that has seen more.
func (p *past) rewind(to int, news bool) {
	p.changes, p.states = p.changes[:to+1], p.states[:to+1]
	p.floor = min(p.floor, to)
	if news || p.doubtful > int64(to) {
		p.doubtful = int64(to)
	}
}

// table returns what a marker vouches for at a revision, as text, and whether
// it does for somebody who knows of this epoch.
func (p *past) table(marker string, r int, epoch string) (string, bool) {
	m, ok := p.states[r][marker]
	prefix, _ := plain().Contents(marker)
	return text(p.states[r], prefix), ok && string(m.Value) == epoch && m.Revision > p.doubtful
}

func text(state map[string]KV, prefix string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(state)) {
		if strings.HasPrefix(k, prefix) {
			out = append(out, k+"="+string(state[k].Value))
		}
	}
	return strings.Join(out, " ")
}

// sim is one reader of a past, by way of a tracker, with a writer that does
// what it likes. The slow and obvious model is legit: all the contents that a
// table ever had while its marker could be believed.
type sim struct {
	t     *testing.T
	r     *rand.Rand
	store *past
	tr    *tracker[string]

	connected, list, broken bool
	// sent and epochSent are the revisions up to which the two watches of a
	// connection have delivered.
	sent, epochSent int
	// seen is the store that the reader saw last, as it was then.
	reader map[string]string
	synced map[string]bool
	legit  map[string]map[string]bool
	serial int
	log    []string
}

var tables = []string{"m/a", "m/b"}

func newSim(t *testing.T, seed uint64) *sim {
	s := &sim{
		t: t, r: rand.New(rand.NewPCG(seed, 1)), store: newPast(1, "E0"), tr: newTracker(plain()), list: true,
		reader: map[string]string{}, synced: map[string]bool{}, legit: map[string]map[string]bool{},
	}
	for _, m := range tables {
		s.legit[m] = map[string]bool{"": true} // before anything was told
	}
	return s
}

func (s *sim) note(format string, args ...any) { s.log = append(s.log, fmt.Sprintf(format, args...)) }

// write lets the store change, and records what may be told from now on.
func (s *sim) write(cs ...change) {
	s.store.write(cs...)
	for _, c := range cs {
		s.note("write %s=%s deleted=%v @%d", c.Key, c.Value, c.deleted, s.store.head())
	}
	s.record(s.store.head(), s.store.epochAt(s.store.head()))
}

// record adds what may be told of a revision by somebody who knows of an epoch.
func (s *sim) record(revision int, epoch string) {
	for _, m := range tables {
		if content, ok := s.store.table(m, revision, epoch); ok {
			s.legit[m][content] = true
		}
	}
}

func (s *sim) fresh() string { s.serial++; return fmt.Sprint("v", s.serial) }

// act lets the writer, or fate, do something.
func (s *sim) act() {
	epoch := s.store.epochAt(s.store.head())
	key := []string{"a/1", "a/2", "b/1", "b/2", "free", "loose"}[s.r.IntN(6)]
	switch n := s.r.IntN(100); {
	case n < 40:
		s.write(put(key, s.fresh()))
	case n < 60:
		s.write(del(key))
	case n < 65: // a transaction
		s.write(put("a/1", s.fresh()), del("b/1"))
	case n < 80:
		s.write(put(tables[s.r.IntN(2)], epoch))
	case n < 84:
		s.write(del(tables[s.r.IntN(2)]))
	case n < 86:
		s.write(put("epoch", fmt.Sprint("E", s.fresh())))
	case n < 90:
		s.cut()
	case n < 93 && s.connected && s.sent == s.store.head():
		s.store.floor = s.store.head()
		s.note("compact %d", s.store.floor)
	case n < 96:
		s.rewind()
	case n < 97:
		s.cut()
		s.store = newPast(s.store.id+1, fmt.Sprint("E", s.fresh()))
		s.note("emptied")
	}
}

// cut ends the connection. What was told of the table was told of the epoch
// too by then: a store that is replaced at the very moment between the two
// could show an epoch that is new to this reader alone.
func (s *sim) cut() {
	for s.connected && s.epochSent < s.sent {
		s.deliverEpoch()
	}
	s.connected = false
	s.note("cut")
}

// rewind restores a copy: as it was, or with an identity and epoch of its own.
func (s *sim) rewind() {
	to := 1 + s.r.IntN(s.store.head())
	if to < s.store.floor {
		return
	}
	s.cut()
	s.store.rewind(to, s.tr.at.store == s.store.id && s.missesPut(to))
	s.note("rewound to %d", to)
	if s.r.IntN(2) == 0 {
		s.store.id++
		s.write(put("epoch", fmt.Sprint("E", s.fresh())))
	}
}

// missesPut says whether the reader has seen a put after a revision. A copy that
// lacks only deletions cannot be told from the store.
func (s *sim) missesPut(after int) bool {
	for r := after + 1; r <= min(int(s.tr.at.revision), s.store.head()); r++ {
		for _, c := range s.store.changes[r] {
			if !c.deleted && c.Key != "epoch" {
				return true
			}
		}
	}
	return false
}

// connect does what the watcher does.
func (s *sim) connect() {
	at := s.store.head()
	h := header{s.store.id, int64(at)}
	if s.list {
		s.tr.begin(h, s.store.epochAt(at), s.broken)
		s.broken = false
		for _, k := range slices.Sorted(maps.Keys(s.store.now())) {
			if k != "epoch" {
				s.tr.add(s.store.now()[k])
			}
		}
		s.tr.end()
		s.list, s.connected = false, true
		s.sent, s.epochSent = at, at
		s.note("listed at %d", at)
		s.take()
		return
	}
	from := int(s.tr.at.revision)
	key, ask := s.tr.ask()
	known := int(ask) >= s.store.floor && int(ask) <= at
	var w *KV
	if known {
		if kv, ok := s.store.states[ask][key]; ok {
			w = &kv
		}
	}
	v := s.tr.compare(answer{header: h, epoch: s.store.epochAt(at), witness: w, known: known})
	s.note("compared at %d, known to %d: %v", at, from, v)
	if v == same {
		s.connected, s.sent, s.epochSent = true, from, from
		return
	}
	s.list, s.broken = true, v == other
}

// deliver lets one of the two watches go on by a revision.
func (s *sim) deliver() {
	if s.r.IntN(2) == 0 && s.epochSent < s.store.head() {
		s.deliverEpoch()
	} else if s.sent < s.store.head() {
		s.sent++
		cs := slices.DeleteFunc(slices.Clone(s.store.changes[s.sent]), func(c change) bool { return c.Key == "epoch" })
		s.note("told of %d", s.sent)
		// The two watches are not in step: an epoch may be told late.
		s.record(s.sent, s.store.epochAt(s.epochSent))
		s.refill(s.tr.apply(cs))
	}
	s.take()
}

func (s *sim) deliverEpoch() {
	s.epochSent++
	s.record(s.sent, s.store.epochAt(s.epochSent))
	for _, c := range s.store.changes[s.epochSent] {
		if c.Key == "epoch" {
			s.note("told of epoch @%d", s.epochSent)
			s.refill(s.tr.changeEpoch(string(c.Value), c.Revision))
		}
	}
}

func (s *sim) refill(markers []string) {
	for _, m := range markers {
		at := int(s.tr.at.revision)
		if at < s.store.floor {
			s.list, s.connected = true, false
			return
		}
		prefix, _ := plain().Contents(m)
		s.tr.refill(m)
		for k, kv := range s.store.states[at] {
			if strings.HasPrefix(k, prefix) {
				s.tr.add(kv)
			}
		}
		s.tr.refilled(m)
	}
}

// take gives the reader its events and checks what it has then.
func (s *sim) take() {
	s.t.Helper()
	for _, e := range s.tr.take() {
		s.note("  event %s", notation([]Event[string]{e}))
		switch e.Op {
		case Put:
			s.reader[e.Key] = e.Value
		case Delete:
			if _, ok := s.reader[e.Key]; !ok {
				s.fail("deletion of %s, which was never told", e.Key)
			}
			delete(s.reader, e.Key)
		case Synced, Unsynced:
			s.synced[e.Key] = e.Op == Synced
		}
	}
	for _, m := range tables {
		prefix, _ := plain().Contents(m)
		if got := text(s.kvs(), prefix); !s.legit[m][got] {
			s.fail("%s is shown as %q, which it never was while its marker could be believed", m, got)
		}
	}
}

func (s *sim) kvs() map[string]KV {
	out := map[string]KV{}
	for k, v := range s.reader {
		out[k] = KV{Key: k, Value: []byte(v)}
	}
	return out
}

// settle lets the writer make a complete pass and refresh its markers, and the
// reader catch up: then the reader has what the store has.
func (s *sim) settle() {
	for range 2 {
		for _, m := range tables {
			s.write(put(m, s.store.epochAt(s.store.head())))
		}
		for !s.connected || s.list || s.sent < s.store.head() || s.epochSent < s.store.head() {
			if s.connected {
				s.deliver()
			} else {
				s.connect()
			}
		}
	}
	want := maps.Clone(s.store.now())
	maps.DeleteFunc(want, func(k string, _ KV) bool { return k == "epoch" || strings.HasPrefix(k, "m/") })
	if got, want := text(s.kvs(), ""), text(want, ""); got != want {
		s.fail("at rest the reader has %q, the store %q", got, want)
	}
	for _, m := range tables {
		if !s.synced[m] {
			s.fail("at rest %s is not synced", m)
		}
	}
}

func (s *sim) fail(format string, args ...any) {
	s.t.Helper()
	from := max(0, len(s.log)-60)
	s.t.Fatalf(format+"\n%s", append(args, strings.Join(s.log[from:], "\n"))...)
}

func TestTrackerAgainstModel(t *testing.T) {
	for seed := range uint64(3000) {
		s := newSim(t, seed)
		for range 120 {
			switch n := s.r.IntN(10); {
			case n < 4:
				s.act()
			case !s.connected:
				s.connect()
			default:
				s.deliver()
			}
			if s.r.IntN(60) == 0 {
				s.settle()
			}
		}
		s.settle()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
