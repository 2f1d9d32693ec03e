package view

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
)

// TestAgainstObvious applies random events and asks after each batch for every
// service what a model answers that keeps all keys in one map and searches it.
func TestAgainstObvious(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	v, store := New("e1"), map[string]stored{}
	revision := int64(0)
	for step := range 3_000 {
		b := Batch{}
		written := map[string]bool{} // a batch has one event a key
		for range 1 + r.IntN(4) {
			key := randomKey(r)
			if written[key] {
				continue
			}
			written[key] = true
			revision++
			e := etcd.Event[clustermesh.Object]{Op: etcd.Delete, Key: key, Revision: revision}
			if _, have := store[key]; !have && r.IntN(3) == 0 {
				continue
			}
			if r.IntN(5) < 3 {
				e.Op, e.Value = etcd.Put, object(t, key, randomValue(r, key))
				store[key] = stored{e.Value, revision}
			} else {
				delete(store, key)
			}
			b.Events = append(b.Events, e)
		}
		before := map[string]string{}
		for _, name := range randomServices {
			before[name] = inputText(v, name)
		}
		c := v.Apply(b)
		for _, name := range randomServices {
			got, want := inputText(v, name), obviousInput(store, name)
			if got != want {
				t.Fatalf("step %d, %s:\n got %s\nwant %s", step, name, got, want)
			}
			namespace, service, _ := strings.Cut(name, "/")
			if _, marked := c.Services[clustermesh.ServiceName{Namespace: namespace, Name: service}]; got != before[name] && !marked {
				t.Fatalf("step %d: %s changed unmarked, from %s to %s", step, name, before[name], got)
			}
		}
	}
	for key := range maps.Clone(store) {
		revision++
		v.Apply(Batch{Events: []etcd.Event[clustermesh.Object]{{Op: etcd.Delete, Key: key, Revision: revision}}})
	}
	if len(v.services)+len(v.places) > 0 {
		t.Errorf("after everything is deleted %d services and %d places are left", len(v.services), len(v.places))
	}
}

type stored struct {
	object   clustermesh.Object
	revision int64
}

var (
	randomServices = []string{"a/x", "a/y"}
	randomPlaces   = []string{"export", "private", "mirror/west", "mirror/north"}
)

func randomKey(r *rand.Rand) string {
	place := randomPlaces[r.IntN(len(randomPlaces))]
	key := clustermesh.Root + place + "/"
	switch service := randomServices[r.IntN(len(randomServices))]; {
	case r.IntN(8) == 0 && place != "private":
		return key + "cluster"
	case r.IntN(3) == 0:
		return key + "services/" + service
	default:
		return key + "slices/" + service + "/" + string(rune('p'+r.IntN(3)))
	}
}

func randomValue(r *rand.Rand, key string) string {
	if strings.Contains(key, "/slices/") {
		return fmt.Sprintf("10.0.0.%d", r.IntN(250))
	}
	return fmt.Sprint(1 + r.IntN(9))
}

func obviousInput(store map[string]stored, name string) string {
	var out []string
	for _, places := range [][]string{{"export", "private"}, {"mirror/west"}, {"mirror/north"}} {
		who, ok := store[clustermesh.Root+places[0]+"/cluster"]
		if !ok {
			continue
		}
		latest := map[string]stored{} // by the key's part after the place
		for _, place := range places {
			for key, s := range store {
				rest, here := strings.CutPrefix(key, clustermesh.Root+place+"/")
				mine := rest == "services/"+name || strings.HasPrefix(rest, "slices/"+name+"/")
				if here && mine && s.revision > latest[rest].revision {
					latest[rest] = s
				}
			}
		}
		if len(latest) == 0 {
			continue
		}
		c := who.object.(*clustermesh.Cluster)
		s := fmt.Sprintf("%s#%d", c.Name, c.ID)
		for _, rest := range slices.Sorted(maps.Keys(latest)) {
			switch o := latest[rest].object.(type) {
			case *clustermesh.Service:
				s += fmt.Sprintf(" prio %d", o.Priority)
			case *clustermesh.EndpointSlice:
				s += fmt.Sprintf(" %s=%s", o.Name, o.Endpoints[0].Address)
			}
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}
