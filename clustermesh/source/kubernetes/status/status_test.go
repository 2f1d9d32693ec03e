package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/standing"
)

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return u
}

func kindNamed(t *testing.T, name string) kind {
	t.Helper()
	for _, k := range kinds {
		if k.name == name {
			return k
		}
	}
	t.Fatalf("there is no kind %s", name)
	return kind{}
}

// conditionsOf renders the conditions of a status, a line each.
func conditionsOf(status map[string]any) string {
	var out []string
	for _, e := range status["conditions"].([]any) {
		c := e.(map[string]any)
		out = append(out, fmt.Sprintf("%s=%s %s %d %s: %s", c["type"], c["status"], c["reason"], c["observedGeneration"], c["lastTransitionTime"], c["message"]))
	}
	return strings.Join(out, "\n")
}

const tor = `{"apiVersion": "tombolo.io/v1alpha1", "kind": "BGPPeer", "metadata": {"name": "tor", "generation": 3},
	"spec": {"address": "192.0.2.1", "asn": 1, "localASN": 2}, "status": %s}`

var up = &standing.Object{Kind: "BGPPeer", Name: "tor", Nodes: 2, Established: 2, Conditions: []standing.Condition{
	{Type: "Accepted", State: standing.True, Reason: "Accepted", Message: "it is taken"},
	{Type: "Ready", State: standing.True, Reason: "Established", Message: "2 of 2"},
}}

// stored is what the store has of an object, or of one with another number.
func stored(t *testing.T, k kind, text string, other bool) clustermesh.Object {
	t.Helper()
	if other {
		text = strings.NewReplacer(`"asn": 1,`, `"asn": 7,`, `"asn": 23456,`, `"asn": 7,`).Replace(text)
	}
	noun, err := k.translate(object(t, text).Object)
	if err != nil {
		t.Fatal(err)
	}
	return noun
}

func TestStatus(t *testing.T) {
	now := time.Date(2026, 11, 26, 8, 0, 0, 5, time.UTC)
	before := `{"conditions": [
		{"type": "Accepted", "status": "True", "reason": "Accepted", "message": "x", "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1},
		{"type": "Ready", "status": "False", "reason": "NoSpeaker", "message": "x", "lastTransitionTime": "2026-01-02T00:00:00Z", "observedGeneration": 1}]}`
	broken := strings.Replace(fmt.Sprintf(tor, before), `"asn": 1`, `"asn": 23456`, 1)
	for _, c := range []struct {
		name, object string
		told         *standing.Object
		// other: the store has another spec than the object.
		other bool
		want  string
	}{
		{"for the first time", fmt.Sprintf(tor, "{}"), up, false, `
Accepted=True Accepted 3 2026-11-26T08:00:00Z: it is taken
Ready=True Established 3 2026-11-26T08:00:00Z: 2 of 2`},
		{"what holds on keeps its time", fmt.Sprintf(tor, before), up, false, `
Accepted=True Accepted 3 2026-01-01T00:00:00Z: it is taken
Ready=True Established 3 2026-11-26T08:00:00Z: 2 of 2`},
		{"not stored yet", fmt.Sprintf(tor, before), nil, false, `
Accepted=Unknown Pending 3 2026-11-26T08:00:00Z: the API server did not take it yet
Ready=Unknown Pending 3 2026-11-26T08:00:00Z: the API server did not take it yet`},
		{"a mistake, while it stands as before", broken, up, true, `
Accepted=False Invalid 3 2026-11-26T08:00:00Z: spec.asn: 23456 is reserved; private ones are 64512 to 65534 and 4200000000 to 4294967294; until this is mended, what was known of the object stays
Ready=True Established 1 2026-11-26T08:00:00Z: 2 of 2`},
		{"the store has the spec of before", fmt.Sprintf(tor, before), up, true, `
Accepted=True Accepted 1 2026-01-01T00:00:00Z: it is taken
Ready=True Established 1 2026-11-26T08:00:00Z: 2 of 2`},
		{"the store has that of another of the name", fmt.Sprintf(tor, "{}"), up, true, `
Accepted=Unknown Pending 3 2026-11-26T08:00:00Z: the API server did not take it yet
Ready=Unknown Pending 3 2026-11-26T08:00:00Z: the API server did not take it yet`},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, o := kindNamed(t, "BGPPeer"), object(t, c.object)
			if c.told != nil {
				told := *c.told
				c.told, told.Stored = &told, stored(t, k, c.object, c.other)
			}
			got := k.status(o, c.told, now)
			if text := conditionsOf(got); text != strings.TrimSpace(c.want) {
				t.Errorf("got\n%s\nwant%s", text, c.want)
			}
			if c.told != nil && (got["nodes"] != int64(2) || got["established"] != int64(2)) {
				t.Errorf("it does not count: %v", got)
			}
		})
	}
}

// A status that was written is the one that is wanted again, as the API gives
// it back.
func TestStatusSettles(t *testing.T) {
	k := kindNamed(t, "BGPPeer")
	now := time.Now()
	up := *up
	up.Stored = stored(t, k, fmt.Sprintf(tor, "{}"), false)
	first, err := json.Marshal(k.status(object(t, fmt.Sprintf(tor, "{}")), &up, now))
	if err != nil {
		t.Fatal(err)
	}
	o := object(t, fmt.Sprintf(tor, first))
	if again := k.status(o, &up, now.Add(time.Hour)); !same(o.Object["status"], again) {
		t.Errorf("it is written again and again: %s, then %v", first, again)
	}
	down := up
	down.Established = 1
	if again := k.status(o, &down, now); same(o.Object["status"], again) {
		t.Error("a difference is not written")
	}
}

func TestLine(t *testing.T) {
	if got := line(errors.New("plain")); got != "plain" {
		t.Errorf("got %q", got)
	}
}
