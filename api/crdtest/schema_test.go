package crdtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const deployed = "../../deploy/crds"

func schemas(t *testing.T) map[string]*Schema {
	t.Helper()
	all, err := Schemas(t.Context(), deployed)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"AddressPool", "BGPAdvertisement", "BGPPeer", "ClusterPeer"}
	if got := slices.Sorted(maps.Keys(all)); !slices.Equal(got, want) {
		t.Fatalf("definitions of %v, want %v", got, want)
	}
	return all
}

// told returns an error as rows name it: its field, and what is wrong.
func told(e *field.Error) string {
	detail := e.Detail
	switch e.Type {
	case field.ErrorTypeInvalid, field.ErrorTypeForbidden:
	case field.ErrorTypeRequired:
		if detail == "" { // of the schema, not of a rule
			detail = e.Type.String()
		}
	default:
		detail = e.Type.String()
	}
	// What is told of a field by its schema repeats the field's path.
	return e.Field + ": " + strings.TrimPrefix(detail, e.Field+" in body ")
}

func TestRows(t *testing.T) {
	for kind, s := range schemas(t) {
		rows, err := Rows(kind)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			t.Run(kind+"/"+r.Row, func(t *testing.T) {
				now, before := r.Object()
				var got []string
				for _, e := range s.Admit(t.Context(), now, before) {
					got = append(got, told(e))
				}
				switch {
				case r.Wrong == "" && len(got) > 0:
					t.Errorf("it is refused: %s", strings.Join(got, "\n"))
				case r.Wrong != "" && !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, r.Wrong) }):
					t.Errorf("want %q, got %q", r.Wrong, got)
				}
			})
		}
	}
}

// Every rule has a row that breaks it; those of a selector are broken in one of
// the kinds that have selectors.
func TestEveryRuleIsBroken(t *testing.T) {
	broken, all := map[string]bool{}, schemas(t)
	for kind, s := range all {
		rows, err := Rows(kind)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			now, before := r.Object()
			for _, e := range s.Admit(t.Context(), now, before) {
				broken[e.Detail] = true
			}
		}
	}
	for kind, s := range all {
		for _, m := range messages(s.structural) {
			if !broken[m] {
				t.Errorf("%s: no row breaks the rule %q", kind, m)
			}
		}
	}
}

// messages returns those of all rules below a schema.
func messages(s *schema.Structural) []string {
	found := map[string]bool{}
	v := schema.Visitor{Structural: func(s *schema.Structural) bool {
		for _, r := range s.XValidations {
			found[r.Message] = true
		}
		return false
	}}
	v.Visit(s)
	return slices.Sorted(maps.Keys(found))
}

// A definition whose rule is no rule, or too dear for an API server, is refused
// here as it would be there.
func TestSchemasAreChecked(t *testing.T) {
	if _, err := Schemas(t.Context(), "testdata"); err == nil || !strings.Contains(fmt.Sprint(err), "estimated rule cost exceeds budget") {
		t.Errorf("a rule that is too dear was taken: %v", err)
	}
}
