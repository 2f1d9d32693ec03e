package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

const top = `# API reference

<!-- Made by internal/apidocs from deploy/crds; make generate writes it anew. -->

The kinds of the group ` + "`tombolo.io`" + `, all cluster scoped. They are installed with
` + "`kubectl apply --server-side -f deploy/crds`" + ` (Kubernetes 1.30 or newer), and have the
same defaults and rules in a [directory of manifests](manifests.md). A field in
**bold** must be given. ` + "`kubectl get tombolo`" + ` lists the objects of all these kinds.
`

// page returns the whole page.
func page(kinds []definition) string {
	var b strings.Builder
	b.WriteString(top)
	var selector *schema
	for _, d := range kinds {
		v := d.Spec.Versions[0]
		s := v.Schema.Schema
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", d.Spec.Names.Kind, paragraph(s.Description))
		fmt.Fprintf(&b, "`apiVersion: %s/%s`; `kubectl get %s`%s.\n", d.Spec.Group, v.Name, d.Spec.Names.Plural, short(d.Spec.Names.ShortNames))
		for _, r := range s.Rules {
			fmt.Fprintf(&b, "\n%s.\n", sentence(r.Message))
		}
		for _, part := range []string{"spec", "status"} {
			p := s.Properties[part]
			fmt.Fprintf(&b, "\n### %s.%s\n\n%s\n\n| field | type | |\n|---|---|---|\n", d.Spec.Names.Kind, part, paragraph(p.Description))
			for _, row := range rows("", p) {
				b.WriteString(row.line())
				if row.schema.selector() {
					selector = &row.schema
				}
			}
			for _, r := range p.Rules {
				fmt.Fprintf(&b, "\n%s.\n", sentence(strings.TrimSpace(code(r.FieldPath)+" "+r.Message)))
			}
		}
	}
	if selector != nil {
		b.WriteString("\n## Selector\n\nAll parts must hold; a selector without parts picks everything.\n\n| field | type | |\n|---|---|---|\n")
		for _, row := range rows("", *selector) {
			b.WriteString(row.line())
		}
	}
	return b.String()
}

// row is a field of the table.
type row struct {
	path     string
	required bool
	schema   schema
}

// rows returns the fields below a schema, those of an object behind it.
func rows(prefix string, s schema) []row {
	var out []row
	for _, name := range s.names() {
		p := s.Properties[name]
		out = append(out, row{prefix + name, s.requires(name), p})
		switch {
		case p.selector(), p.conditions():
		case p.Type == "object":
			out = append(out, rows(prefix+name+".", p)...)
		case p.Items != nil && p.Items.Type == "object":
			out = append(out, rows(prefix+name+"[].", *p.Items)...)
		}
	}
	return out
}

func (r row) line() string {
	name := code(r.path)
	if r.required {
		name = "**" + name + "**"
	}
	about := []string{paragraph(r.schema.Description)}
	if d := r.schema.Default; len(d) > 0 {
		about = append(about, "Default: "+code(yamlText(d))+".")
	}
	for _, rule := range r.schema.allRules() {
		text := sentence(strings.TrimSpace(code(rule.FieldPath)+" "+rule.Message)) + "."
		if !slices.Contains(about, text) {
			about = append(about, text)
		}
	}
	return fmt.Sprintf("| %s | %s | %s |\n", name, r.schema.typeText(), strings.ReplaceAll(strings.Join(about, " "), "|", "\\|"))
}

// allRules returns the rules of a field and of its elements.
func (s schema) allRules() []rule {
	if s.selector() || s.conditions() {
		return nil
	}
	out := s.Rules
	for _, e := range []*schema{s.Items, s.Values} {
		if e != nil {
			out = append(out[:len(out):len(out)], e.allRules()...)
		}
	}
	return out
}

// typeText says of what type and size a field is.
func (s schema) typeText() string {
	switch {
	case s.conditions():
		return "conditions"
	case s.selector():
		return "[selector](#selector)"
	case s.Items != nil:
		size := bounds(s.MinItems, s.MaxItems)
		if s.ListType == "set" {
			size = append(size, "each once")
		}
		return "list" + within(size) + " of " + s.Items.typeText()
	case s.Values != nil:
		return "map" + within(bounds(nil, s.MaxKeys)) + " to " + s.Values.typeText()
	case len(s.Enum) > 0:
		var words []string
		for _, e := range s.Enum {
			words = append(words, code(fmt.Sprint(e)))
		}
		return strings.Join(words, ", ")
	case s.Minimum != nil && s.Maximum != nil:
		return fmt.Sprintf("%s (%s to %s)", s.Type, *s.Minimum, *s.Maximum)
	}
	return s.Type + within(bounds(nil, s.MaxLength))
}

// bounds says how many or how long, if that is bounded.
func bounds(least, most *int) []string {
	switch {
	case least != nil && most != nil:
		return []string{fmt.Sprintf("%d to %d", *least, *most)}
	case most != nil:
		return []string{fmt.Sprintf("at most %d", *most)}
	}
	return nil
}

func within(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return " (" + strings.Join(words, ", ") + ")"
}

// yamlText renders a default as one writes it.
func yamlText(raw json.RawMessage) string {
	return strings.NewReplacer(`"`, "", ",", ", ").Replace(string(raw))
}

func short(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return ", or " + code(strings.Join(names, ", "))
}

func code(s string) string {
	if s = strings.TrimPrefix(s, "."); s == "" {
		return ""
	}
	return "`" + s + "`"
}

// paragraph returns a description on one line.
func paragraph(s string) string { return strings.Join(strings.Fields(s), " ") }

// sentence returns a message that begins with a capital letter.
func sentence(s string) string {
	s = strings.TrimSuffix(s, ".")
	if s == "" || s[0] == '`' {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
