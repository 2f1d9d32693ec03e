package manifests

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// locate returns the line, from 1, of the field in a document that path leads
// to, or of the deepest part of the path that is there; zero for no document.
func locate(root *yaml.Node, path []string) int {
	if len(root.Content) == 0 {
		return 0
	}
	n := root.Content[0]
	line := n.Line
	for _, p := range path {
		key, value := step(n, p)
		if value == nil {
			break
		}
		n, line = value, key.Line
	}
	return line
}

// step goes down one part of a path. It returns the node that names the part,
// which for an item of a list is the item itself, and the part's value.
func step(n *yaml.Node, part string) (name, value *yaml.Node) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == part {
				name, value = n.Content[i], n.Content[i+1] // the last of duplicates
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(part); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i], n.Content[i]
		}
	}
	return name, value
}

// parsePath reads a path as the strict decoder prints it: spec.ports[0].name.
func parsePath(s string) []string {
	s = strings.NewReplacer("[", ".", "]", "").Replace(s)
	return strings.Split(s, ".")
}

// pathAt returns the path of the value in a JSON text that begins or ends at
// offset, which is where a decoder stood when it did not like the value.
func pathAt(text []byte, offset int64) []string {
	dec := json.NewDecoder(bytes.NewReader(text))
	var c cursor
	for {
		token, err := dec.Token()
		if err != nil {
			return nil
		}
		value := c.read(token)
		if value && dec.InputOffset() >= offset {
			return c.path()
		}
		c.next(token)
	}
}

// cursor follows the tokens of a JSON text: one frame for each list or map
// that is open.
type cursor []frame

type frame struct {
	list  bool
	index int    // of a list: that of the item at hand
	key   string // of a map: that of the value at hand
	keyed bool   // of a map: the key was read
}

// read says whether a token begins or ends a value, and not a key.
func (c cursor) read(t json.Token) bool {
	if len(c) == 0 || c[len(c)-1].list || c[len(c)-1].keyed {
		return true
	}
	_, isKey := t.(string)
	return !isKey
}

// next moves past a token.
func (c *cursor) next(t json.Token) {
	switch t {
	case json.Delim('{'), json.Delim('['):
		*c = append(*c, frame{list: t == json.Delim('[')})
		return
	case json.Delim('}'), json.Delim(']'):
		*c = (*c)[:len(*c)-1]
	}
	if len(*c) == 0 {
		return
	}
	top := &(*c)[len(*c)-1]
	switch {
	case top.list:
		top.index++
	case !top.keyed:
		top.key, top.keyed = t.(string), true
	default:
		top.keyed = false
	}
}

func (c cursor) path() []string {
	var out []string
	for _, f := range c {
		switch {
		case f.list:
			out = append(out, strconv.Itoa(f.index))
		case f.keyed:
			out = append(out, f.key)
		}
	}
	return out
}
