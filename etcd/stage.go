package etcd

import "slices"

// Bounds of a transaction. One operation is left for the ledger: etcd takes
// 128 by default, and 1.5 MiB.
const (
	maxOps   = 127
	maxBytes = 1 << 20
)

// op is a change that waits to be written.
type op struct {
	key    string
	value  []byte
	delete bool
	// force writes the value even when it is unchanged.
	force bool
}

func (o op) size() int { return len(o.key) + len(o.value) }

// stage holds one change a key, in the order in which they have to be
// written. A put that replaces a put keeps its place, so that nothing staged
// after the first comes before it; a delete that replaces a put, or a put that
// replaces a delete, goes last. So of "put the new place, delete the old" a
// reader sees at least one, however often an object moves. Forced puts go
// last: they vouch for what was staged before.
type stage struct {
	// ops begins at head; one that was replaced has an empty key.
	ops  []op
	head int
	at   map[string]int
}

func newStage() stage { return stage{at: map[string]int{}} }

func (s *stage) len() int { return len(s.at) }

func (s *stage) put(key string, value []byte, force bool) {
	if i, ok := s.at[key]; ok && !force && !s.ops[i].delete && !s.ops[i].force {
		s.ops[i].value = value
		return
	}
	s.last(op{key: key, value: value, force: force})
}

func (s *stage) delete(key string) { s.last(op{key: key, delete: true}) }

func (s *stage) last(o op) {
	if i, ok := s.at[o.key]; ok {
		s.ops[i] = op{}
	}
	s.at[o.key] = len(s.ops)
	s.ops = append(s.ops, o)
}

// take removes and returns the next transaction's changes, and drops those
// that skip says are pointless. A single change larger than maxBytes goes
// alone.
func (s *stage) take(skip func(op) bool) []op {
	var out []op
	size := 0
	for ; s.head < len(s.ops); s.head++ {
		o := s.ops[s.head]
		if o.key == "" {
			continue
		}
		if !skip(o) {
			if len(out) == maxOps || len(out) > 0 && size+o.size() > maxBytes {
				return out
			}
			size += o.size()
			out = append(out, o)
		}
		delete(s.at, o.key)
		s.ops[s.head] = op{}
	}
	s.ops, s.head = nil, 0
	return out
}

// restore puts back what take returned last, before everything else, as if it
// had never been taken: a marker stays behind the newest of what it vouches for.
func (s *stage) restore(batch []op) {
	rest := s.ops[s.head:]
	*s = newStage()
	for _, o := range slices.Concat(batch, rest) {
		switch {
		case o.key == "":
		case o.delete:
			s.delete(o.key)
		default:
			s.put(o.key, o.value, o.force)
		}
	}
}
