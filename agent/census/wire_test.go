package census

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/agent/pods"
)

var somePairs = []Pair{{netip.MustParseAddr("10.1.0.1"), "a"}, {netip.MustParseAddr("fd00::1"), "b-7.x"}}

func TestWire(t *testing.T) {
	got, err := parseQuestion(appendQuestion(nil, somePairs))
	if err != nil || !slices.Equal(got, somePairs) {
		t.Errorf("a question: %v, %v", got, err)
	}
	want := Answer{Life: health.Life{BootID: [16]byte{1, 2}, Epoch: 7}, States: []pods.State{pods.Lives, pods.Reused}}
	if a, err := parseAnswer(appendAnswer(nil, want), 2); err != nil || !reflect.DeepEqual(a, want) {
		t.Errorf("an answer: %v, %v", a, err)
	}
	if _, err := parseAnswer(appendAnswer(nil, Answer{}), 2); err != errKnowsNothing {
		t.Errorf("of who knows nothing: %v", err)
	}
	most := slices.Repeat([]Pair{{somePairs[1].Address, strings.Repeat("x", maxUID)}}, maxPairs)
	if raw := appendQuestion(nil, most); len(raw) != maxQuestion {
		t.Errorf("the longest question has %d bytes, not %d", len(raw), maxQuestion)
	}
}

func TestWireRefuses(t *testing.T) {
	good := appendQuestion(nil, somePairs)
	for name, raw := range map[string][]byte{
		"nothing": nil, "another version": append([]byte{9}, good[1:]...), "cut": good[:len(good)-1], "more": append(slices.Clone(good), 0),
		"about nobody": {wireVersion, 0, 0}, "about too many": {wireVersion, 255, 255}, "a uid with a slash": appendQuestion(nil, []Pair{{somePairs[0].Address, "a/b"}}),
		"no uid": appendQuestion(nil, []Pair{{somePairs[0].Address, ""}}),
	} {
		if q, err := parseQuestion(raw); err == nil {
			t.Errorf("%s is taken for %v", name, q)
		}
	}
	answer := appendAnswer(nil, Answer{States: []pods.State{pods.Lives, pods.Ended}})
	state := slices.Clone(answer)
	state[len(state)-1] = 9
	for name, raw := range map[string][]byte{
		"nothing": nil, "cut": answer[:len(answer)-1], "more": append(slices.Clone(answer), 0), "a state that is none": state,
		"fewer": appendAnswer(nil, Answer{States: []pods.State{pods.Lives}}), "another status": append([]byte{wireVersion, 7}, answer[2:]...),
	} {
		if a, err := parseAnswer(raw, 2); err == nil {
			t.Errorf("%s is taken for %v", name, a)
		}
	}
}

func FuzzParseQuestion(f *testing.F) {
	f.Add(appendQuestion(nil, somePairs))
	f.Fuzz(func(t *testing.T, raw []byte) {
		pairs, err := parseQuestion(raw)
		if err == nil && (len(pairs) == 0 || len(pairs) > maxPairs) {
			t.Errorf("%q: %v", raw, pairs)
		}
	})
}

func FuzzParseAnswer(f *testing.F) {
	f.Add(appendAnswer(nil, Answer{States: []pods.State{pods.Lives, pods.Ended}}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := parseAnswer(raw, 2)
		if err == nil && len(a.States) != 2 {
			t.Errorf("%q: %v", raw, a)
		}
	})
}
