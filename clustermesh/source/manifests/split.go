package manifests

import (
	"bytes"
)

// chunk is the text of one document of a file.
type chunk struct {
	// line is that of the text's first line in the file, from 1.
	line int
	text []byte
}

// split divides a file at its document markers: a line "---" begins a
// document, "..." ends one. YAML gives these lines that meaning wherever they
// stand, so a document that is broken ends where the next one begins. What
// holds neither text nor marker but only comments or directives belongs to the
// document that follows. No byte is lost but a byte order mark.
func split(data []byte) []chunk {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	var out []chunk
	start, startLine, line := 0, 1, 0
	content := false // the current chunk has more than comments
	cut := func(end, nextLine int) {
		if end > start {
			out = append(out, chunk{line: startLine, text: data[start:end]})
		}
		start, startLine, content = end, nextLine, false
	}
	for pos := 0; pos < len(data); {
		end := len(data)
		if n := bytes.IndexByte(data[pos:], '\n'); n >= 0 {
			end = pos + n + 1
		}
		line++
		text := data[pos:end]
		switch {
		case marks(text, "---"):
			if content {
				cut(pos, line)
			}
			content = true
		case marks(text, "..."):
			cut(end, line+1)
		case says(text):
			content = true
		}
		pos = end
	}
	cut(len(data), line+1)
	return out
}

// marks says whether a line is the marker, alone or followed by a blank.
func marks(line []byte, marker string) bool {
	rest, ok := bytes.CutPrefix(line, []byte(marker))
	return ok && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0)
}

// says whether a line has more than blanks, a comment or a directive.
func says(line []byte) bool {
	line = bytes.TrimSpace(line)
	return len(line) > 0 && line[0] != '#' && line[0] != '%'
}

// firstLine returns the number, from 0, of the first line of a chunk that says
// something: where people look for the document.
func firstLine(text []byte) int {
	n := 0
	for line := range bytes.Lines(text) {
		if says(line) && !marks(line, "---") {
			return n
		}
		n++
	}
	return 0
}
