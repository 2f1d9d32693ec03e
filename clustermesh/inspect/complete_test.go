package inspect_test

import (
	"fmt"
	"strings"
	"testing"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/inspect"
	"tombolo.io/tombolo/internal/etcdtest"
)

func TestComplete(t *testing.T) {
	c := store(t)
	for n := range 12 {
		var many []string
		for i := range 100 {
			many = append(many, fmt.Sprintf("%sexport/endpoints/10.1.%d.%d", clustermesh.Root, n, i), "x")
		}
		etcdtest.Put(t, c, many...)
	}
	for beginning, want := range map[string]string{
		"":                            "epoch export/",
		"e":                           "epoch export/",
		"epoch":                       "epoch",
		"export/":                     "export/endpoints/ export/nodes/ export/services/",
		"export/services":             "export/services/",
		"export/services/def":         "export/services/default/",
		"export/services/default/":    "export/services/default/web",
		"export/endpoints/10.1.11.9":  "export/endpoints/10.1.11.9" + tens("export/endpoints/10.1.11.9"),
		"tombolo/v1/export/n":         "tombolo/v1/export/nodes/",
		"tombolo/v1/export/nodes/n1":  "tombolo/v1/export/nodes/n1",
		"tombolo/v1/export/nodes/n1/": "",
		"mirror/":                     "",
		"t":                           "tombolo/",
		"tombolo":                     "tombolo/",
		"tombolo/":                    "tombolo/v1/",
		"tombola":                     "",
	} {
		got, err := inspect.Complete(t.Context(), c, beginning)
		if text := strings.Join(got, " "); text != want || err != nil {
			t.Errorf("%q: got %q, %v; want %q", beginning, text, err, want)
		}
	}
	// More keys than one question asks for, none of them in a folder.
	if got, err := inspect.Complete(t.Context(), c, "export/endpoints/"); len(got) != 1200 || err != nil {
		t.Errorf("%d keys, %v", len(got), err)
	}
}

// tens are the two-digit numbers that begin as a key ends.
func tens(key string) (out string) {
	for i := range 10 {
		out += fmt.Sprintf(" %s%d", key, i)
	}
	return out
}
