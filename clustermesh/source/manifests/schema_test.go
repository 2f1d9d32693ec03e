package manifests

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tombolo.io/tombolo/api/crdtest"
)

// The kinds of our own must mean the same in a directory as in the Kubernetes
// API, whose rules lie in the definitions of deploy/crds. What is known of both
// is tried here on the table of good and bad objects, and on objects made from
// it at random.

const definitions = "../../../deploy/crds"

func schemas(t *testing.T) map[string]*crdtest.Schema {
	t.Helper()
	all, err := crdtest.Schemas(t.Context(), definitions)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// taken reads an object as a manifest, and returns what it means, or what is
// wrong with it.
func taken(t *testing.T, object map[string]any) (means any, wrong string) {
	t.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	documents := decode(text)
	if len(documents) != 1 || documents[0].skipped != "" {
		t.Fatalf("%s: not read as one object of ours", text)
	}
	d := documents[0]
	for _, m := range d.mistakes {
		wrong += m.reason + "\n"
	}
	if wrong == "" {
		means = d.objects[0]
	}
	return means, wrong
}

func TestManifestsFollowTheSchemas(t *testing.T) {
	for kind := range schemas(t) {
		for _, r := range rows(t, kind) {
			t.Run(kind+"/"+r.Row, func(t *testing.T) {
				now, before := r.Object()
				_, wrong := taken(t, now)
				field, _, _ := strings.Cut(r.Wrong, ": ")
				switch {
				case before != nil && r.Wrong != "":
					// What may not be changed in place can be replaced, and so it is in a file.
					if wrong != "" {
						t.Errorf("a file with it is refused: %s", wrong)
					}
				case r.Wrong == "" && wrong != "":
					t.Errorf("the schema takes it, a manifest does not: %s", wrong)
				case r.Wrong != "" && wrong == "":
					t.Errorf("a manifest takes it, the schema does not: %s", r.Wrong)
				case r.Wrong != "" && field != "<nil>" && !strings.HasPrefix(dotted(wrong), dotted(field)):
					t.Errorf("the mistake is in %s, told was %s", field, wrong)
				}
			})
		}
	}
}

// dotted renders a path the same whether a key stands in brackets or not.
func dotted(s string) string { return strings.NewReplacer("[", ".", "]", "").Replace(s) }

func rows(t *testing.T, kind string) []crdtest.Row {
	t.Helper()
	all, err := crdtest.Rows(kind)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Objects made at random are taken by both or by neither, and mean the same
// whether the schema filled their defaults in or translate did.
func TestManifestsAgreeWithTheSchemas(t *testing.T) {
	const tries = 1000
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	for kind, schema := range schemas(t) {
		all := rows(t, kind)
		var words []any
		for _, r := range all {
			words = append(words, leaves(r.Spec)...)
		}
		good := 0
		for range tries {
			object, _ := all[random.IntN(len(all))].Object()
			for range random.IntN(3) {
				alter(object["spec"], words, random)
			}
			before, _ := json.Marshal(object)
			means, wrong := taken(t, object)
			errs := schema.Admit(t.Context(), object, nil)
			if (len(errs) == 0) != (wrong == "") {
				t.Fatalf("they disagree on\n%s\nschema: %v\nmanifest: %s", before, errs.ToAggregate(), wrong)
			}
			if wrong != "" {
				continue
			}
			good++
			if filled, wrong := taken(t, object); wrong != "" || !reflect.DeepEqual(means, filled) {
				t.Fatalf("with the schema's defaults %s means\n%+v, not\n%+v; %s", before, filled, means, wrong)
			}
		}
		if good < tries/20 || good > tries-tries/20 {
			t.Errorf("%s: %d of %d objects were good: the test tells nothing", kind, good, tries)
		}
	}
}

// leaves returns the words and numbers below a value.
func leaves(v any) []any {
	var out []any
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			out = append(out, leaves(e)...)
		}
	case []any:
		for _, e := range v {
			out = append(out, leaves(e)...)
		}
	case nil:
	default:
		out = append(out, v)
	}
	return out
}

// alter changes one thing below a value: a leaf becomes another of its type,
// or a field or an element is lost or doubled.
func alter(v any, words []any, random *rand.Rand) {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			return
		}
		key := slices.Sorted(maps.Keys(v))[random.IntN(len(v))]
		switch e := v[key].(type) {
		case map[string]any:
			if random.IntN(8) == 0 {
				delete(v, key)
				return
			}
			alter(e, words, random)
		case []any:
			v[key] = list(e, words, random)
		default:
			if random.IntN(4) == 0 {
				delete(v, key)
				return
			}
			v[key] = another(e, words, random)
		}
	case []any:
		if len(v) > 0 {
			alter(v[random.IntN(len(v))], words, random)
		}
	}
}

func list(in []any, words []any, random *rand.Rand) []any {
	out := slices.Clone(in)
	if len(out) == 0 {
		return out
	}
	i := random.IntN(len(out))
	switch random.IntN(4) {
	case 0:
		return slices.Delete(out, i, i+1)
	case 1:
		return append(out, crdtest.Copy(map[string]any{"v": out[i]})["v"])
	}
	switch e := out[i].(type) {
	case map[string]any, []any:
		alter(e, words, random)
	default:
		out[i] = another(e, words, random)
	}
	return out
}

// another returns a value of the same type; words are cut and joined at times.
func another(v any, words []any, random *rand.Rand) any {
	w := words[random.IntN(len(words))]
	switch v := v.(type) {
	case bool:
		return !v
	case int64:
		if n, ok := w.(float64); ok {
			return int64(n) + random.Int64N(3) - 1
		}
		return v + random.Int64N(3) - 1
	case string:
		s, ok := w.(string)
		if !ok {
			s = v
		}
		switch i := random.IntN(len(v) + 1); random.IntN(4) {
		case 0:
			return strings.ToValidUTF8(v[:i]+v[min(i+1, len(v)):], "")
		case 1:
			return strings.ToValidUTF8(v[:i]+string("09az.:-/Z _fF%"[random.IntN(14)])+v[i:], "")
		}
		return s
	}
	return v
}
