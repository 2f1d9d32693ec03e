package manifests

import (
	"bytes"
	gojson "encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	yaml3 "go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/clustermesh/source/translate"
)

// document is what was read of one object in a file.
type document struct {
	// line is the document's, counted from 0 within its chunk.
	line int
	// key is zero when not even that could be read.
	key source.Key
	// objects are what it means; nothing when there are mistakes.
	objects  []source.Object
	mistakes []mistake
	// strays are what it says under our domain that means nothing.
	strays []mistake
	// skipped names a kind that is not ours.
	skipped string
}

// mistake is one thing wrong with a document.
type mistake struct {
	line   int // from 0 within the chunk
	reason string
}

// header is what every object has.
type header struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   gojson.RawMessage `json:"metadata"`
}

// decode reads the documents of a chunk: none when it is empty, several when
// it is a List.
func decode(text []byte) []document {
	start := firstLine(text)
	data, err := toJSON(text)
	if err != nil {
		line, reason := syntaxError(err, start, lastLine(text))
		return []document{{line: start, mistakes: []mistake{{line, reason}}}}
	}
	if string(data) == "null" {
		return nil
	}
	r := &reading{text: text, start: start}
	r.object(data, nil, typeName{})
	return r.documents
}

// toJSON converts a chunk. JSON is taken as it is: not all of it is YAML.
func toJSON(text []byte) ([]byte, error) {
	if t := bytes.TrimSpace(text); len(t) > 0 && t[0] == '{' && gojson.Valid(t) {
		return t, nil
	}
	return yaml.YAMLToJSONStrict(text)
}

// reading is the reading of one chunk.
type reading struct {
	text      []byte
	start     int
	tree      *yaml3.Node // of text, once a line was asked for
	documents []document
}

// object reads the object at a path of the chunk. What it does not say of its
// type comes from the list that holds it.
func (r *reading) object(data []byte, path []string, otherwise typeName) {
	d := document{line: r.line(path)}
	var h header
	if err := json.UnmarshalCaseSensitivePreserveInts(data, &h); err != nil {
		r.wrong(d, path, errors.New("is no Kubernetes object: it must be a map with apiVersion, kind and metadata"))
		return
	}
	name := typeName{orElse(h.APIVersion, otherwise.apiVersion), orElse(h.Kind, otherwise.kind)}
	if name.apiVersion == "" || name.kind == "" {
		r.wrong(d, path, errors.New("says no apiVersion and kind"))
		return
	}
	if item, ok := listOf(name); ok {
		r.list(data, path, item)
		return
	}
	kind, ok := kinds[name]
	if err := mistyped(name); !ok && err != nil {
		r.wrong(d, path, err)
		return
	}
	if !ok {
		d.skipped = name.String()
		r.documents = append(r.documents, d)
		return
	}
	d.key = keyOf(kind.kind, h.Metadata)
	d.strays = r.strays(kind.kind, path, h.Metadata)
	var err error
	if d.objects, err = kind.read(data); err != nil {
		r.wrong(d, path, err)
		return
	}
	r.documents = append(r.documents, d)
}

// strays returns what an object says under our domain that means nothing.
func (r *reading) strays(kind source.Kind, path []string, metadata []byte) (out []mistake) {
	var m metav1.ObjectMeta
	if json.UnmarshalCaseSensitivePreserveInts(metadata, &m) != nil {
		return nil // it is told elsewhere
	}
	for _, f := range translate.Strays(kind, m.Annotations, m.Labels) {
		out = append(out, mistake{r.line(slices.Concat(path, f.Path)), f.Error()})
	}
	return out
}

// listOf says whether a type is a list, and what its items are unless they say
// otherwise; those of a plain List say it.
func listOf(name typeName) (item typeName, ok bool) {
	if name == (typeName{"v1", "List"}) {
		return typeName{}, true
	}
	kind, ok := strings.CutSuffix(name.kind, "List")
	item = typeName{name.apiVersion, kind}
	if ok {
		_, ok = kinds[item]
	}
	return item, ok
}

// list reads the items of a list.
func (r *reading) list(data []byte, path []string, item typeName) {
	var l struct {
		Items []gojson.RawMessage `json:"items"`
	}
	if err := json.UnmarshalCaseSensitivePreserveInts(data, &l); err != nil {
		r.wrong(document{line: r.line(path)}, append(path, "items"), errors.New("is not a list"))
		return
	}
	for i, text := range l.Items {
		r.object(text, append(path[:len(path):len(path)], "items", strconv.Itoa(i)), item)
	}
}

// wrong adds a document with the mistakes of an error, each with its line.
func (r *reading) wrong(d document, path []string, err error) {
	d.objects = nil
	fields := translate.Mistakes(err)
	for _, f := range fields {
		at := append(path[:len(path):len(path)], f.Path...)
		d.mistakes = append(d.mistakes, mistake{r.line(at), f.Error()})
	}
	if len(fields) == 0 {
		d.mistakes = []mistake{{d.line, err.Error()}}
	}
	r.documents = append(r.documents, d)
}

// line returns the line of a path, from 0 within the chunk.
func (r *reading) line(path []string) int {
	if len(path) == 0 {
		return r.start
	}
	if r.tree == nil {
		r.tree = &yaml3.Node{}
		if err := yaml3.Unmarshal(r.text, r.tree); err != nil {
			r.tree = &yaml3.Node{} // JSON that is no YAML: the document's line must do
		}
	}
	if n := locate(r.tree, path); n > 0 {
		return n - 1
	}
	return r.start
}

// keyOf names an object by its metadata, as far as it can be read.
func keyOf(kind source.Kind, metadata []byte) source.Key {
	var m struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	}
	if err := json.UnmarshalCaseSensitivePreserveInts(metadata, &m); err != nil || m.Name == "" {
		return source.Key{}
	}
	k := source.Key{Kind: kind, Name: m.Name}
	if kind.Namespaced() {
		k.Namespace = orElse(m.Namespace, metav1.NamespaceDefault)
	}
	return k
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
