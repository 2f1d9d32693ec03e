package clustermesh

import (
	"strings"
	"unicode"
)

// Line makes a text, of which strangers may have written parts, one that can be
// stored as a reason: a single line of valid UTF-8 without control characters, of
// at most 1024 bytes. What is cut off ends in "…".
func Line(s string) string {
	const more = "…"
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText-len(more)], "") + more
	}
	return s
}
