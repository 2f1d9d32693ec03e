package clustermesh

import (
	"strings"
	"testing"
)

func TestLine(t *testing.T) {
	for in, want := range map[string]string{
		"as it is":                 "as it is",
		"two\nlines\x00":           "two lines ",
		"b\xffad":                  "b?ad",
		strings.Repeat("x", 1024):  strings.Repeat("x", 1024),
		strings.Repeat("é", 600):   strings.Repeat("é", 510) + "…",
		strings.Repeat("\xff.", 9): strings.Repeat("?.", 9),
	} {
		got := Line(in)
		if got != want {
			t.Errorf("Line(%q) = %q, want %q", in, got, want)
		}
		var c checker
		if c.text("reason", got); len(c.problems) > 0 {
			t.Errorf("Line(%q) cannot be stored: %v", in, c.problems)
		}
	}
}
