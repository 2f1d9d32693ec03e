package manifests

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"one", "a: 1\n", `1 "a: 1\n"`},
		{"two", "a: 1\n---\nb: 1\n", `1 "a: 1\n" | 2 "---\nb: 1\n"`},
		{"a marker first", "---\na: 1\n---\nb: 1", `1 "---\na: 1\n" | 3 "---\nb: 1"`},
		{"empty ones", "---\n---\na: 1\n", `1 "---\n" | 2 "---\na: 1\n"`},
		{"comments belong to what follows", "# of a\n\n---\na: 1\n# still a\n---\nb: 1\n",
			`1 "# of a\n\n---\na: 1\n# still a\n" | 6 "---\nb: 1\n"`},
		{"directives too", "%YAML 1.1\n---\na: 1\n", `1 "%YAML 1.1\n---\na: 1\n"`},
		{"an end, and another", "a: 1\n...\n---\nb: 1\n", `1 "a: 1\n...\n" | 3 "---\nb: 1\n"`},
		{"text on the marker's line", "--- {a: 1}\n--- {b: 1}\n", `1 "--- {a: 1}\n" | 2 "--- {b: 1}\n"`},
		{"not a marker", "a: |\n  ---\n----\n---b\n", `1 "a: |\n  ---\n----\n---b\n"`},
		{"other line ends", "a: 1\r\n---\r\nb: 1\r\n", `1 "a: 1\r\n" | 2 "---\r\nb: 1\r\n"`},
		{"a byte order mark", "\xef\xbb\xbfa: 1\n", `1 "a: 1\n"`},
		{"broken ends at the marker", "a: [\n---\nb: 1\n", `1 "a: [\n" | 2 "---\nb: 1\n"`},
	} {
		var got []string
		for _, k := range split([]byte(c.text)) {
			got = append(got, fmt.Sprintf("%d %q", k.line, k.text))
		}
		if s := strings.Join(got, " | "); s != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, s, c.want)
		}
	}
}

// Whatever the bytes: nothing is lost or moved, lines are counted right, and
// reading the documents ends without a panic.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{"", "a: 1\n---\nb: 2\n", "---\n...\n%YAML\n---", "\xef\xbb\xbf---\r\n{}", "apiVersion: v1\nkind: List\nitems: [{kind: Node}]",
		"apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: x}]}", `{"apiVersion":"v1","kind":"List","items":{}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		text := bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
		var joined []byte
		for _, c := range split(data) {
			if want := 1 + bytes.Count(joined, []byte("\n")); c.line != want {
				t.Fatalf("chunk %q is on line %d, says %d", c.text, want, c.line)
			}
			joined = append(joined, c.text...)
		}
		if !bytes.Equal(joined, text) {
			t.Fatalf("%q became %q", text, joined)
		}
		parse("x.yaml", data, nil)
	})
}
