package manifests

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
)

var (
	yamlLine = regexp.MustCompile(`line (\d+): `)
	// fromParser are the errors of go-yaml's parser. They count lines from 0, where
	// those of its scanner count from 1.
	fromParser = regexp.MustCompile(`^(did not find expected (<|node content|key|'-' indicator|',' or )|found (undefined tag|duplicate %|incompatible YAML))`)
	// indented are those that nearly always come from a line that begins too far left
	// or right.
	indented = regexp.MustCompile(`^(did not find expected (key|'-' indicator)|mapping values are not allowed)`)
)

// syntaxError takes the line out of a YAML parser's message; it is between those of
// the chunk where there is something, all from 0.
func syntaxError(err error, first, last int) (line int, reason string) {
	reason = strings.TrimPrefix(err.Error(), "yaml: ")
	reason = strings.TrimSpace(strings.TrimPrefix(reason, "unmarshal errors:"))
	line = first
	if m := yamlLine.FindStringSubmatchIndex(reason); m != nil {
		if n, err := strconv.Atoi(reason[m[2]:m[3]]); err == nil {
			line = n - 1
			reason = reason[:m[0]] + reason[m[1]:]
		}
		if fromParser.MatchString(reason) {
			line++
		}
	}
	if indented.MatchString(reason) {
		reason += ": is it, or the line before it, indented as it should be?"
	}
	return max(first, min(line, last)), reason
}

// lastLine returns the last line of a text that is not empty, from 0.
func lastLine(text []byte) int { return bytes.Count(bytes.TrimRight(text, " \t\r\n"), []byte("\n")) }
