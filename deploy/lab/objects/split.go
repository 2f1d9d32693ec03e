package objects

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"
)

// Object is one document of a file.
type Object struct {
	Kind, Namespace, Name string
	// YAML is the document as it was written.
	YAML []byte
}

// File is the name of the file that holds the object alone.
func (o Object) File() string {
	parts := []string{strings.ToLower(o.Kind), o.Namespace, o.Name}
	if o.Namespace == "" {
		parts = []string{parts[0], o.Name}
	}
	return strings.Join(parts, "_") + ".yaml"
}

// Split parts a file into its objects. Every document must say its kind and
// name; all that do not are named in the error, by the line they begin at.
func Split(raw []byte) ([]Object, error) {
	var out []Object
	var errs []error
	var doc []byte
	first, line := 1, 0
	flush := func() {
		o, err := parse(doc)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("the document at line %d: %w", first, err))
		case o.Kind != "":
			out = append(out, o)
		}
		doc, first = nil, line+1
	}
	for l := range bytes.Lines(raw) {
		line++
		if s := bytes.TrimRight(l, " \t\r\n"); bytes.Equal(s, []byte("---")) {
			flush()
			continue
		}
		doc = append(doc, l...)
	}
	flush()
	return out, errors.Join(errs...)
}

// errNoObject is what a document is told that is YAML and no object of Kubernetes.
var errNoObject = errors.New("want kind and metadata.name")

// parse returns the zero object for a document that holds nothing.
func parse(doc []byte) (Object, error) {
	var head *struct {
		Kind     string `json:"kind"`
		Metadata struct {
			Name      string `json:"name"`
			Namespace string `json:"namespace"`
		} `json:"metadata"`
	}
	if err := yaml.Unmarshal(doc, &head); err != nil {
		var other any
		if yaml.Unmarshal(doc, &other) == nil { // YAML, but a text or a list
			return Object{}, errNoObject
		}
		return Object{}, err
	}
	if head == nil {
		return Object{}, nil
	}
	o := Object{Kind: head.Kind, Namespace: head.Metadata.Namespace, Name: head.Metadata.Name, YAML: doc}
	if o.Kind == "" || o.Name == "" {
		return Object{}, errNoObject
	}
	if strings.ContainsAny(o.Kind+o.Namespace+o.Name, "/_\x00") {
		return Object{}, fmt.Errorf("%s %s/%s: no such name in Kubernetes", o.Kind, o.Namespace, o.Name)
	}
	return o, nil
}

// FullName is namespace/name, or the name of what lies in no namespace.
func (o Object) FullName() string {
	if o.Namespace == "" {
		return o.Name
	}
	return o.Namespace + "/" + o.Name
}
