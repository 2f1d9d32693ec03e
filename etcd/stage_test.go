package etcd

import (
	"fmt"
	"strings"
	"testing"
)

// play stages "+a=1", "-a" and "*m" (a marker), and returns what is written, a
// transaction a field.
func play(s *stage, script string) {
	for _, f := range strings.Fields(script) {
		key, value, _ := strings.Cut(f[1:], "=")
		switch f[0] {
		case '+':
			s.put(key, []byte(value), false)
		case '-':
			s.delete(key)
		case '*':
			s.put(key, nil, true)
		}
	}
}

func written(batch []op) string {
	var out []string
	for _, o := range batch {
		switch {
		case o.delete:
			out = append(out, "-"+o.key)
		case o.force:
			out = append(out, "*"+o.key)
		default:
			out = append(out, "+"+o.key+"="+string(o.value))
		}
	}
	return strings.Join(out, " ")
}

func none(op) bool { return false }

func TestStageOrder(t *testing.T) {
	for script, want := range map[string]string{
		"+a=1 +b=1 +a=2":          "+a=2 +b=1",
		"+a=1 -a":                 "-a",
		"-a +a=1":                 "+a=1",
		"+new=1 -old +new=2":      "+new=2 -old",
		"+new=1 -old +old=1 -new": "+old=1 -new",
		"+a=1 *m +b=1":            "+a=1 *m +b=1",
		"*m +a=1 *m":              "+a=1 *m",
		"+m=1 +a=1 *m":            "+a=1 *m",
	} {
		s := newStage()
		play(&s, script)
		if got := written(s.take(none)); got != want {
			t.Errorf("%s: got %s, want %s", script, got, want)
		}
		if s.len() != 0 || len(s.take(none)) != 0 {
			t.Errorf("%s: something is left", script)
		}
	}
}

func TestStageBounds(t *testing.T) {
	s := newStage()
	for i := range 300 {
		s.put(fmt.Sprint(i), nil, false)
	}
	for _, want := range []int{maxOps, maxOps, 300 - 2*maxOps, 0} {
		if got := len(s.take(none)); got != want {
			t.Errorf("a transaction of %d, want %d", got, want)
		}
	}
	for i := range 3 {
		s.put(fmt.Sprint(i), make([]byte, maxBytes*2/5), false)
	}
	s.put("huge", make([]byte, 2*maxBytes), false)
	for _, want := range []int{2, 1, 1, 0} {
		if got := len(s.take(none)); got != want {
			t.Errorf("a transaction of %d, want %d", got, want)
		}
	}
}

func TestStageRestore(t *testing.T) {
	s := newStage()
	play(&s, "+a=1 +b=1 *m")
	batch := s.take(none)
	play(&s, "+c=1 +b=2 -a")
	s.restore(batch)
	if got, want := written(s.take(none)), "+b=2 *m +c=1 -a"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
