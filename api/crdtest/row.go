package crdtest

import (
	"embed"
	"fmt"
	"maps"

	"sigs.k8s.io/yaml"

	"tombolo.io/tombolo/api/v1alpha1"
)

// Row is an object of the table.
type Row struct {
	Kind string `json:"-"`
	// Row says what the object shows.
	Row string `json:"row"`
	// Name is the object's; "x" by default.
	Name string         `json:"name"`
	Spec map[string]any `json:"spec"`
	// Before is the spec that the object had before, where the row is of a change.
	Before map[string]any `json:"before"`
	// Wrong is empty for a good object; for a bad one the field and the beginning
	// of what is told of it by the API: "spec.asn: must not be a reserved number".
	Wrong string `json:"wrong"`
}

//go:embed rows/*.yaml
var files embed.FS

// Rows returns the rows of a kind.
func Rows(kind string) ([]Row, error) {
	text, err := files.ReadFile("rows/" + kind + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("reading the rows of %s: %w", kind, err)
	}
	var rows []Row
	if err := yaml.UnmarshalStrict(text, &rows); err != nil {
		return nil, fmt.Errorf("reading the rows of %s: %w", kind, err)
	}
	for i := range rows {
		rows[i].Kind = kind
		if rows[i].Name == "" {
			rows[i].Name = "x"
		}
	}
	return rows, nil
}

// Object returns the row's object, and its state before, nil where it had none.
// Both are copies, in the types that JSON is decoded to.
func (r Row) Object() (now, before map[string]any) {
	if r.Before != nil {
		before = r.object(r.Before)
	}
	return r.object(r.Spec), before
}

func (r Row) object(spec map[string]any) map[string]any {
	o := map[string]any{
		"apiVersion": v1alpha1.APIVersion, "kind": r.Kind,
		"metadata": map[string]any{"name": r.Name},
	}
	if spec != nil {
		o["spec"] = spec
	}
	return Copy(o)
}

// Copy returns a deep copy of decoded JSON, whose whole numbers are int64 as
// the API server has them.
func Copy(o map[string]any) map[string]any { return clone(o).(map[string]any) }

func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := maps.Clone(v)
		for k := range out {
			out[k] = clone(out[k])
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = clone(v[i])
		}
		return out
	case float64:
		if n := int64(v); float64(n) == v {
			return n
		}
	}
	return v
}
