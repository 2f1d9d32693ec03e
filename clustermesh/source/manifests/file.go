package manifests

import (
	"cmp"
	"crypto/sha256"
	"maps"
	"strconv"
	"strings"

	"tombolo.io/tombolo/clustermesh/source"
)

// file is what one file says. It is immutable but for what take gives it.
type file struct {
	name string
	// held are the objects that can be taken as they are written.
	held map[source.Key]placed
	// claimed are the objects whose state the file cannot tell, with the line:
	// their documents are wrong, or could not be read at all but held them
	// before. What is known of them from elsewhere stays.
	claimed map[source.Key]int
	// broken: a document could not be read so far as to tell what it is.
	// blind: and neither is known from before what it was.
	broken, blind bool
	problems      []source.Problem
	remarks       []source.Problem
	skipped       map[string]int
	// chunks are the documents of each chunk, by the sum of its text, so that
	// a change of a big file decodes only what changed.
	chunks map[[sha256.Size]byte][]document
}

// placed is an object and the line on which it begins.
type placed struct {
	line    int
	objects []source.Object
}

// parse reads a file. What did not change since before, the same file as it
// was read last, is not decoded again; before may be nil.
func parse(name string, data []byte, before *file) *file {
	f := newFile(name)
	for _, c := range split(data) {
		sum := sha256.Sum256(c.text)
		documents, ok := f.chunks[sum]
		if !ok && before != nil {
			documents, ok = before.chunks[sum]
		}
		if !ok {
			documents = decode(c.text)
		}
		f.chunks[sum] = documents
		for _, d := range documents {
			f.add(d, c.line)
		}
	}
	f.take(before)
	return f
}

// unreadable stands for a file that is there and cannot be read.
func unreadable(name string, err error, before *file) *file {
	f := newFile(name)
	f.broken = true
	f.problems = []source.Problem{{Place: name, Reason: "reading: " + err.Error()}}
	f.take(before)
	return f
}

func newFile(name string) *file {
	return &file{
		name: name, held: map[source.Key]placed{}, claimed: map[source.Key]int{}, skipped: map[string]int{},
		chunks: map[[sha256.Size]byte][]document{},
	}
}

// add takes in a document whose chunk begins at base.
func (f *file) add(d document, base int) {
	line := base + d.line
	for _, m := range d.strays {
		f.remarks = append(f.remarks, source.Problem{Place: f.place(base + m.line), Object: d.key.String(), Reason: m.reason})
	}
	switch {
	case d.skipped != "":
		f.skipped[d.skipped]++
	case len(d.mistakes) > 0:
		for _, m := range d.mistakes {
			f.problem(base+m.line, d.key, m.reason)
		}
		if d.key == (source.Key{}) {
			f.broken = true
		} else if _, ok := f.held[d.key]; !ok {
			f.claimed[d.key] = line
		}
	default:
		if first, ok := f.lineOf(d.key); ok {
			f.problem(line, d.key, "is in this file before, on line "+strconv.Itoa(first)+", and that one holds")
			return
		}
		f.held[d.key] = placed{line, d.objects}
	}
}

// lineOf returns where the file names an object.
func (f *file) lineOf(k source.Key) (line int, ok bool) {
	if p, ok := f.held[k]; ok {
		return p.line, true
	}
	line, ok = f.claimed[k]
	return line, ok
}

func (f *file) problem(line int, k source.Key, reason string) {
	p := source.Problem{Place: f.place(line), Reason: reason}
	if k != (source.Key{}) {
		p.Object = k.String()
	}
	f.problems = append(f.problems, p)
}

func (f *file) place(line int) string { return f.name + ":" + strconv.Itoa(line) }

// take claims what the file held before, if this time a part of it could not
// be read.
func (f *file) take(before *file) {
	if !f.broken {
		return
	}
	if before == nil {
		f.blind = true
		return
	}
	f.blind = before.blind
	for k, p := range before.held {
		f.inherit(k, p.line)
	}
	for k, line := range before.claimed {
		f.inherit(k, line)
	}
}

func (f *file) inherit(k source.Key, line int) {
	if _, ok := f.lineOf(k); !ok {
		f.claimed[k] = line
	}
}

// keys returns the objects that the file names, in no order.
func (f *file) keys(yield func(source.Key) bool) {
	for k := range maps.Keys(f.held) {
		if !yield(k) {
			return
		}
	}
	for k := range maps.Keys(f.claimed) {
		if !yield(k) {
			return
		}
	}
}

// comparePlaces orders places by file, then by line.
func comparePlaces(a, b string) int {
	fileA, lineA := cutPlace(a)
	fileB, lineB := cutPlace(b)
	return cmp.Or(cmp.Compare(fileA, fileB), cmp.Compare(lineA, lineB))
}

func cutPlace(place string) (name string, line int) {
	i := strings.LastIndexByte(place, ':')
	if i < 0 {
		return place, 0
	}
	line, err := strconv.Atoi(place[i+1:])
	if err != nil {
		return place, 0
	}
	return place[:i], line
}
