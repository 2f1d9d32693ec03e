package etcd

import (
	"errors"
	"strconv"
	"strings"
	"testing"
)

// plain is the layout of the tracker's tests: data "a/1" whose marker is
// "m/a" with the epoch as its value, and keys without a slash, which need no
// marker but lie beside all of them. The value "bad" does not decode.
func plain() Table[string] {
	return Table[string]{
		Prefix: "", EpochKey: "epoch",
		Decode: func(_ string, v []byte) (string, error) {
			if string(v) == "bad" {
				return "", errors.New("it is bad")
			}
			return string(v), nil
		},
		Marker: func(key string) (string, bool) {
			dir, _, ok := strings.Cut(key, "/")
			return "m/" + dir, ok && dir != "m"
		},
		Contents: func(key string) (string, bool) {
			dir, ok := strings.CutPrefix(key, "m/")
			return dir + "/", ok
		},
		Epoch: func(marker []byte) (string, error) {
			if string(marker) == "bad" {
				return "", errors.New("it is bad")
			}
			return string(marker), nil
		},
	}
}

// changes parses "a/1=x@5 -a/2@6".
func changes(t *testing.T, fields []string) []change {
	var out []change
	for _, f := range fields {
		f, revision, ok := strings.Cut(f, "@")
		n, err := strconv.ParseInt(revision, 10, 64)
		if !ok || err != nil {
			t.Fatalf("no revision in %q", f)
		}
		key, value, _ := strings.Cut(f, "=")
		key, deleted := strings.CutPrefix(key, "-")
		out = append(out, change{KV: KV{Key: key, Value: []byte(value), Revision: n}, deleted: deleted})
	}
	return out
}

// step plays one line: "list STORE REVISION EPOCH keys…", "broken" (a list of
// a store that is proved to be another), "watch changes…", "epoch NAME@REVISION"
// or "fill MARKER keys…". It returns the events, and what is to be listed.
func step(t *testing.T, tr *tracker[string], line string) string {
	f := strings.Fields(line)
	var refill []string
	switch f[0] {
	case "list", "broken":
		store, _ := strconv.ParseUint(f[1], 10, 64)
		revision, _ := strconv.ParseInt(f[2], 10, 64)
		tr.begin(header{store, revision}, strings.TrimPrefix(f[3], "none"), f[0] == "broken")
		for _, c := range changes(t, f[4:]) {
			tr.add(c.KV)
		}
		tr.end()
	case "fill":
		tr.refill(f[1])
		for _, c := range changes(t, f[2:]) {
			tr.add(c.KV)
		}
		tr.refilled(f[1])
	case "watch":
		refill = tr.apply(changes(t, f[1:]))
	case "epoch":
		c := changes(t, f[1:])[0]
		refill = tr.changeEpoch(c.Key, c.Revision)
	default:
		t.Fatalf("unknown step %q", line)
	}
	out := notation(tr.take())
	for _, m := range refill {
		out = strings.TrimSpace(out + " ?" + m)
	}
	return out
}

func TestTracker(t *testing.T) {
	for name, steps := range map[string][][2]string{
		"a synced table is followed": {
			{"list 1 9 E a/1=x@3 free=f@4 m/a=E@5", "+free=f +a/1=x synced m/a"},
			{"watch a/2=y@10 a/1=x2@11 -a/2@12", "+a/2=y +a/1=x2 -a/2"},
			{"watch a/1=x2@13 m/a=E@14 -a/9@15 -free@16", "-free"},
		},
		"without a marker nothing is told, with one all is": {
			{"list 1 9 E a/1=x@3 free=f@4", "unsynced m/a +free=f"},
			{"watch a/2=y@10 -a/1@11", ""},
			{"watch m/a=E@12", "?m/a"},
			{"fill m/a a/2=y@10", "+a/2=y synced m/a"},
		},
		"an empty table can be synced": {
			{"list 1 9 E m/a=E@3", "synced m/a"},
			{"watch m/b=E@10", "?m/b"},
			{"fill m/b", "synced m/b"},
		},
		"a deleted marker freezes": {
			{"list 1 9 E a/1=x@3 m/a=E@5", "+a/1=x synced m/a"},
			{"watch -m/a@10 -a/1@11 a/2=y@11", "unsynced m/a"},
			{"watch m/a=E@12", "?m/a"},
			{"fill m/a a/2=y@11", "+a/2=y -a/1 synced m/a"},
		},
		"a marker of another epoch freezes": {
			{"list 1 9 E a/1=x@3 m/a=E@5", "+a/1=x synced m/a"},
			{"watch m/a=F@10", "unsynced m/a"},
			{"watch m/a=bad@11", ""},
			{"watch m/a=E@12", "?m/a"},
			{"fill m/a a/1=x@3", "synced m/a"},
		},
		"a new epoch freezes until the marker names it, whichever comes first": {
			{"list 1 9 E a/1=x@3 b/1=x@3 m/a=E@5 m/b=E@5", "+a/1=x +b/1=x synced m/a synced m/b"},
			{"watch m/a=F@11", "unsynced m/a"},
			{"epoch F@10", "unsynced m/b ?m/a"},
			{"fill m/a a/1=x@3", "synced m/a"},
			{"watch -b/1@12 m/b=F@13", "?m/b"},
			{"fill m/b", "-b/1 synced m/b"},
		},
		"an old epoch that comes back needs markers written after it": {
			{"list 1 9 E m/a=E@5", "synced m/a"},
			{"epoch F@10", "unsynced m/a"},
			{"epoch E@11", ""},
			{"watch m/a=E@12", "?m/a"},
		},
		"a table removed as a whole": {
			{"list 1 9 E a/1=x@3 m/a=E@5", "+a/1=x synced m/a"},
			{"watch -a/1@10 -m/a@11", "-a/1 unsynced m/a"},
		},
		"a table removed while nobody looked": {
			{"list 1 9 E a/1=x@3 m/a=E@5 b/1=y@6 m/b=E@7", "+a/1=x +b/1=y synced m/a synced m/b"},
			{"list 1 20 E b/1=y@6 m/b=E@7", "-a/1 unsynced m/a"},
		},
		"the difference after a compaction": {
			{"list 1 9 E a/1=x@3 a/2=y@4 free=f@4 m/a=E@5", "+free=f +a/1=x +a/2=y synced m/a"},
			{"list 1 20 E a/2=y2@12 a/3=z@13 m/a=E@5", "+a/2=y2 +a/3=z -a/1 -free"},
		},
		"a list without the marker, and keys that remain": {
			{"list 1 9 E a/1=x@3 a/2=y@4 free=f@4 m/a=E@5", "+free=f +a/1=x +a/2=y synced m/a"},
			{"list 1 20 E a/2=y@4", "unsynced m/a"},
			{"list 1 21 E", ""},
		},
		"an empty store in the old one's place": {
			{"list 1 9 E a/1=x@3 free=f@4 m/a=E@5", "+free=f +a/1=x synced m/a"},
			{"list 2 2 F", "unsynced m/a"},
			{"watch m/a=F@4 new=n@5", "+new=n ?m/a"},
			{"fill m/a", "-a/1 synced m/a -free"},
		},
		"an empty store without an epoch": {
			{"list 1 9 E a/1=x@3 m/a=E@5", "+a/1=x synced m/a"},
			{"list 1 1 none", "unsynced m/a"},
			{"watch m/a=@4", ""},
		},
		"a copy with the same epoch that went back": {
			{"list 1 9 E a/1=x@3 a/2=y@7 m/a=E@5", "+a/1=x +a/2=y synced m/a"},
			{"list 1 6 E a/1=x@3 m/a=E@5", "unsynced m/a"},
			{"watch a/1=x2@7", ""},
			{"list 1 8 E a/1=x2@7 m/a=E@5", ""},
			{"watch m/a=E@9", "?m/a"},
			{"fill m/a a/1=x2@7", "+a/1=x2 -a/2 synced m/a"},
		},
		"a copy that went back and grew": {
			{"list 1 9 E a/1=x@3 a/2=y@7 m/a=E@5", "+a/1=x +a/2=y synced m/a"},
			{"broken 1 20 E a/1=x@3 m/a=E@5", "unsynced m/a"},
			{"broken 1 30 F a/1=x@3 m/a=F@25", "-a/2 synced m/a"},
		},
		"a restored store with an epoch of its own": {
			{"list 1 9 E a/1=x@3 a/2=y@7 m/a=E@5", "+a/1=x +a/2=y synced m/a"},
			{"list 2 7 F a/1=x@3 m/a=E@5", "unsynced m/a"},
			{"watch m/a=F@8", "?m/a"},
			{"fill m/a a/1=x@3", "-a/2 synced m/a"},
		},
		"the same revision can hold another value": {
			{"list 1 9 E a/1=x@7 m/a=E@5", "+a/1=x synced m/a"},
			{"broken 1 9 F a/1=other@7 m/a=F@8", "+a/1=other"},
		},
		"a bad value keeps the last good one": {
			{"list 1 9 E a/1=x@3 m/a=E@5", "+a/1=x synced m/a"},
			{"watch a/1=bad@10", "!a/1"},
			{"list 1 20 E a/1=bad@10 m/a=E@5", ""},
			{"watch a/1=x@21", "+a/1=x"},
			{"watch a/1=bad@22 -a/1@23", "!a/1 -a/1"},
		},
		"a bad marker freezes": {
			{"list 1 9 E a/1=x@3 m/a=bad@5", "unsynced m/a"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTracker(plain())
			for _, s := range steps {
				if got := step(t, tr, s[0]); got != s[1] {
					t.Fatalf("after %q\n got %q\nwant %q", s[0], got, s[1])
				}
			}
		})
	}
}

// A value that is written again unchanged is news only where that says something.
func TestRepeats(t *testing.T) {
	table := plain()
	table.Repeats = func(key string) bool { return key == "a/1" }
	tr := newTracker(table)
	for _, row := range [][2]string{
		{"list 1 9 E a/1=x@3 a/2=x@4 m/a=E@5", "+a/1=x +a/2=x synced m/a"},
		{"watch a/1=x@10 a/2=x@11", "+a/1=x"},
		{"list 1 12 E a/1=x@10 a/2=x@11 m/a=E@5", ""},
		{"list 1 14 E a/1=x@13 a/2=x@14 m/a=E@5", "+a/1=x"},
	} {
		if got := step(t, tr, row[0]); got != row[1] {
			t.Errorf("%s: %q, want %q", row[0], got, row[1])
		}
	}
}

func TestUnsyncedSaysWhy(t *testing.T) {
	for lines, want := range map[string]error{
		"list 1 9 E a/1=x@3":                    ErrNoMarker,
		"list 1 9 E a/1=x@3 m/a=F@4":            ErrOtherEpoch,
		"list 1 9 E a/1=x@3 m/a=bad@4":          ErrBadMarker,
		"list 1 9 none a/1=x@3 m/a=@4":          ErrOtherEpoch,
		"list 1 9 E m/a=E@4;list 1 8 E m/a=E@4": ErrOldMarker,
	} {
		tr := newTracker(plain())
		var got error
		for line := range strings.SplitSeq(lines, ";") {
			f := strings.Fields(line)
			revision, _ := strconv.ParseInt(f[2], 10, 64)
			tr.begin(header{1, revision}, strings.TrimPrefix(f[3], "none"), false)
			for _, c := range changes(t, f[4:]) {
				tr.add(c.KV)
			}
			tr.end()
			for _, e := range tr.take() {
				got = e.Err
			}
		}
		if !errors.Is(got, want) {
			t.Errorf("%s: %v, want %v", lines, got, want)
		}
	}
}

func TestCompare(t *testing.T) {
	tr := newTracker(plain())
	step(t, tr, "list 1 9 E a/1=x@3 a/2=y@7 m/a=E@5")
	kv := func(value string, revision int64) *KV {
		return &KV{Key: "a/2", Value: []byte(value), Revision: revision}
	}
	for _, c := range []struct {
		name  string
		h     header
		epoch string
		w     *KV
		known bool
		want  verdict
	}{
		{"the same", header{1, 9}, "E", kv("y", 7), true, same},
		{"the same, later", header{1, 99}, "E", kv("y", 7), true, same},
		{"went back", header{1, 8}, "E", kv("y", 7), true, other},
		{"another store", header{2, 9}, "E", kv("y", 7), true, other},
		{"another epoch", header{1, 9}, "F", kv("y", 7), true, unproven},
		{"compacted", header{1, 99}, "E", nil, false, unproven},
		{"without the witness", header{1, 99}, "E", nil, true, other},
		{"the witness elsewhere", header{1, 99}, "E", kv("y", 6), true, other},
		{"the witness changed", header{1, 99}, "E", kv("z", 7), true, other},
	} {
		if got := tr.compare(answer{header: c.h, epoch: c.epoch, witness: c.w, known: c.known}); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if key, revision := tr.ask(); key != "a/2" || revision != 9 {
		t.Errorf("asks for %s at %d", key, revision)
	}
	step(t, tr, "watch -a/2@10")
	if key, revision := tr.ask(); key != "a/2" || revision != 7 {
		t.Errorf("after the witness was deleted it asks for %s at %d", key, revision)
	}
	if got := tr.compare(answer{header: header{1, 10}, epoch: "E", witness: kv("y", 7), known: true}); got != unproven {
		t.Errorf("after a deletion: %v, want %v", got, unproven)
	}
	if got := tr.compare(answer{header: header{1, 10}, epoch: "E", witness: nil, known: true}); got != other {
		t.Errorf("after a deletion, without the witness: %v, want %v", got, other)
	}
}
