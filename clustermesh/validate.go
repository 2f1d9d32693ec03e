package clustermesh

import (
	"fmt"
	"strconv"
	"strings"
)

// InvalidError says what is wrong with an object.
type InvalidError struct {
	// Subject is the object's key, or its kind and name before it has a key.
	Subject string
	// Problems are those found, at most maxProblems.
	Problems []Problem
	// More counts the problems beyond those.
	More int
}

// Problem is one field that is not well formed.
type Problem struct {
	// Field is the path of the field, "ports[1].port"; Value is what it holds.
	Field, Value string
	// Reason completes "Field … ": "must be 1 to 65535".
	Reason string
}

// Error names the object, each field, its value and the reason.
func (e *InvalidError) Error() string {
	var b strings.Builder
	b.WriteString(e.Subject)
	sep := ": "
	for _, p := range e.Problems {
		fmt.Fprintf(&b, "%s%s (%s) %s", sep, p.Field, p.Value, p.Reason)
		sep = "; "
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "; and %d more", e.More)
	}
	return b.String()
}

// maxProblems and maxShown bound an error, which a hostile peer may fill.
const (
	maxProblems = 8
	maxShown    = 80
)

// Validate says whether the object is well formed and belongs under the key:
// nil, or the *InvalidError that Decode would give.
func Validate(k Key, o Object) error {
	c := checker{subject: k.String()}
	o.check(&c)
	c.agree(k, o)
	return c.err()
}

// checker collects the problems of one object. The path of the field at hand
// is put into words only when there is a problem.
type checker struct {
	subject  string
	path     []segment
	problems []Problem
	more     int
}

type segment struct {
	name  string
	index int // negative when the field is no list
}

// enter descends into a field, or an element of it.
func (c *checker) enter(name string, index int) { c.path = append(c.path, segment{name, index}) }

// leave undoes the last enter.
func (c *checker) leave() { c.path = c.path[:len(c.path)-1] }

// fail reports a field of the object that was entered last.
func (c *checker) fail(field string, value any, reason string, args ...any) {
	if len(c.problems) == maxProblems {
		c.more++
		return
	}
	var b strings.Builder
	for _, s := range c.path {
		b.WriteString(s.name)
		if s.index >= 0 {
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		}
		b.WriteByte('.')
	}
	b.WriteString(field)
	c.problems = append(c.problems, Problem{b.String(), shown(value), fmt.Sprintf(reason, args...)})
}

// shown puts a value into words: quoted when it is a string, cut when long.
func shown(value any) string {
	s := fmt.Sprint(value)
	if len(s) > maxShown {
		s = s[:maxShown] + "…"
	}
	switch value.(type) {
	case string, fmt.Stringer:
		return strconv.Quote(s)
	}
	return s
}

func (c *checker) err() error {
	if len(c.problems) == 0 {
		return nil
	}
	return &InvalidError{Subject: c.subject, Problems: c.problems, More: c.more}
}

// agree checks that the object belongs under the key.
func (c *checker) agree(k Key, o Object) {
	if o.Kind() != k.Kind {
		c.fail("kind", string(o.Kind()), "must be that of the key, %s", k.Kind)
		return
	}
	if name := o.keyName(); k.Kind != KindSynced && name != k.Name {
		c.fail("name", name, "must be that of the key, %q", k.Name)
	}
	switch o := o.(type) {
	case *Cluster:
		if k.Area == Mirror && o.Name != k.Cluster {
			c.fail("name", o.Name, "must be that of the mirrored cluster, %q", k.Cluster)
		}
	case *Service:
		if k.Area != Private && !(o.Global && o.Shared) {
			c.fail("shared", o.Shared, "must be true, and the service global, to lie in %s/", k.Area)
		}
	case *Drain:
		if o.What == DrainCluster && k.Area == Mirror && o.Name != k.Cluster {
			c.fail("name", o.Name, "must be that of the mirrored cluster, %q", k.Cluster)
		}
	case *MirrorState:
		if o.Cluster.Name != "" && o.Phase != MirrorRefused && o.Cluster.Name != k.Cluster {
			c.fail("cluster.name", o.Cluster.Name, "must be that of the mirrored cluster, %q", k.Cluster)
		}
	}
}
