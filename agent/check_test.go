package agent

import (
	"net/netip"
	"testing"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/internal/etcdtest"
)

// An agent answers what it is asked, each request once, and tells when it could not
// measure as it should.
func TestAgentAnswersChecks(t *testing.T) {
	r := newRig(t)
	n1 := &clustermesh.Node{Name: "n1", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}} // no device has it
	r.put(east, n1)
	r.vouch()
	r.start()
	for _, id := range []string{"first", "second"} {
		ask := &clustermesh.CheckRequest{ID: id}
		value, err := clustermesh.Encode(ask)
		if err != nil {
			t.Fatal(err)
		}
		etcdtest.Put(t, r.client, clustermesh.KeyOf(clustermesh.Status, ask).String(), string(value))
		var a *clustermesh.CheckAnswer
		key := clustermesh.KeyOf(clustermesh.Status, &clustermesh.CheckAnswer{Node: "n1"}).String()
		r.until("it answers the "+id, func() bool {
			kv, ok, err := r.client.Get(t.Context(), key)
			if err != nil || !ok {
				return false
			}
			o, err := clustermesh.DecodeAt(key, kv.Value)
			if err != nil {
				t.Fatal(err)
			}
			a = o.(*clustermesh.CheckAnswer)
			return len(a.Requests) == 1 && a.Requests[0] == id
		})
		if a.Kernel == "" || a.Version != "test" || len(a.Paths) != 0 {
			t.Errorf("it answered %+v", a)
		}
		for _, f := range a.Findings {
			if f.Code == "mount" {
				t.Errorf("found %+v", f)
			}
		}
	}
}
