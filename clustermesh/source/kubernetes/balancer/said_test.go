package balancer

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

const (
	wroteIngress    = `{"f:status": {"f:loadBalancer": {"f:ingress": {}}}}`
	wroteConditions = `{"f:status": {"f:conditions": {"k:{\"type\":\"tombolo.io/Addresses\"}": {".": {}}}}}`
)

// service is one as the API has it: managers are "us" or "them", and what they wrote
// of its status; ips its addresses, conditions "Status Reason: message" of the one of
// its addresses.
func service(t *testing.T, typ string, managers [][2]string, ips []string, condition string) *corev1.Service {
	t.Helper()
	text := fmt.Sprintf(`{"metadata": {"name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "7"}, "spec": {"type": %q}}`, typ)
	var s corev1.Service
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	for _, m := range managers {
		entry := `{"manager": "tombolo-apiserver", "operation": "Apply", "subresource": "status", "fieldsV1": %s}`
		if m[0] == "them" {
			entry = `{"manager": "controller", "operation": "Update", "subresource": "status", "fieldsV1": %s}`
		}
		var one []byte = fmt.Appendf(nil, `{"metadata": {"managedFields": [`+entry+`]}}`, m[1])
		var o corev1.Service
		if err := json.Unmarshal(one, &o); err != nil {
			t.Fatal(err)
		}
		s.ManagedFields = append(s.ManagedFields, o.ManagedFields...)
	}
	for _, ip := range ips {
		s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: ip, IPMode: &vip})
	}
	if condition != "" {
		word, message, _ := strings.Cut(condition, ": ")
		status, reason, _ := strings.Cut(word, " ")
		text := fmt.Sprintf(`{"status": {"conditions": [{"type": "tombolo.io/Addresses", "status": %q, "reason": %q, "message": %q, "lastTransitionTime": "2026-01-01T00:00:00Z"}, {"type": "example.com/Own", "status": "True"}]}}`,
			status, reason, message)
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(err)
		}
	}
	return &s
}

func told(ips []string, condition string) (out source.ServiceStatus) {
	for _, ip := range ips {
		out.Addresses = append(out.Addresses, netip.MustParseAddr(ip))
	}
	if condition != "" {
		word, message, _ := strings.Cut(condition, ": ")
		status, reason, _ := strings.Cut(word, " ")
		out.Conditions = []clustermesh.Condition{{Type: "tombolo.io/Addresses", Status: status, Reason: reason, Message: message}}
		out.Lacking = reason != "Given"
	}
	return out
}

// Each row is a Service, what it should say, and what follows.
func TestDifference(t *testing.T) {
	const balancer, given, full = "LoadBalancer", "True Given: it has 192.0.2.1", "False PoolFull: no address left"
	one := []string{"192.0.2.1"}
	us := [][2]string{{"us", wroteIngress}}
	for _, c := range []struct {
		name     string
		typ      string
		managers [][2]string
		ips      []string
		says     string
		wantIPs  []string
		want     string
		// write: the status is to be written; others: the addresses are not ours.
		write, others bool
		events        string
	}{
		{"a new one", balancer, nil, nil, "", one, given, true, false, "Normal Given"},
		{"said already", balancer, us, one, given, one, given, false, false, ""},
		{"said by somebody else", balancer, [][2]string{{"them", wroteIngress}}, one, given, one, given, true, true, ""},
		{"written by both", balancer, [][2]string{{"them", wroteIngress}, {"us", wroteIngress}}, one, given, one, given, false, false, ""},
		{"another address", balancer, us, []string{"192.0.2.9"}, given, one, given, true, false, "Normal Given"},
		{"another word", balancer, us, one, "True Given: it had", one, given, true, false, ""},
		{"lost", balancer, us, one, given, nil, full, true, false, "Warning PoolFull"},
		{"full since long", balancer, [][2]string{{"us", wroteConditions}}, nil, full, nil, full, false, false, ""},
		{"lost, and somebody else's", balancer, [][2]string{{"them", wroteIngress}, {"us", wroteConditions}}, one, full, nil, full, true, true, ""},
		{"not ours any more", balancer, us, one, given, nil, "", true, false, ""},
		{"never ours", balancer, [][2]string{{"them", wroteIngress}}, one, "", nil, "", false, true, ""},
		{"theirs by now, but for a condition", balancer, [][2]string{{"them", wroteIngress}, {"us", wroteConditions}}, one, full, nil, "", true, true, ""},
		{"of another type by now", "ClusterIP", [][2]string{{"us", wroteConditions}}, nil, given, nil, "", true, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			said := Read(service(t, c.typ, c.managers, c.ips, c.says))
			if said == nil || said.Others != c.others {
				t.Fatalf("it says %+v", said)
			}
			told := told(c.wantIPs, c.want)
			w := wanted(told, said, time.Unix(2e9, 0))
			if w.said(said) == c.write {
				t.Errorf("it is written: %v, want %v", !c.write, c.write)
			}
			var events []string
			for _, e := range happened(clustermesh.ServiceName{Namespace: "shop", Name: "web"}, said, w, told) {
				events = append(events, map[bool]string{true: "Warning ", false: "Normal "}[e.Warning]+e.Reason)
			}
			if got := strings.Join(events, ", "); got != c.events {
				t.Errorf("events: %q, want %q", got, c.events)
			}
		})
	}
	if s := Read(service(t, "ClusterIP", nil, nil, "")); s != nil {
		t.Errorf("one that has nothing to do with us: %+v", s)
	}
}

// A condition that holds on keeps its time, and what is applied holds for the object
// alone that was judged.
func TestBody(t *testing.T) {
	said := Read(service(t, "LoadBalancer", nil, nil, "True Given: it had"))
	w := wanted(told([]string{"192.0.2.1"}, "True Given: it has 192.0.2.1"), said, time.Unix(2e9, 0))
	body, err := w.body(clustermesh.ServiceName{Namespace: "shop", Name: "web"}, said)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"apiVersion":"v1","kind":"Service","metadata":{"name":"web","namespace":"shop","resourceVersion":"7","uid":"u1"},` +
		`"status":{"conditions":[{"type":"tombolo.io/Addresses","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z","reason":"Given","message":"it has 192.0.2.1"}],` +
		`"loadBalancer":{"ingress":[{"ip":"192.0.2.1","ipMode":"VIP"}]}}}`
	if string(body) != want {
		t.Errorf("got\n%s\nwant\n%s", body, want)
	}
	theirs := Read(service(t, "LoadBalancer", [][2]string{{"them", wroteIngress}}, []string{"203.0.113.9"}, ""))
	if body, err = wanted(told(nil, "False PoolFull: x"), theirs, time.Unix(2e9, 0)).body(clustermesh.ServiceName{}, theirs); err != nil || !strings.Contains(string(body), `"loadBalancer":{"ingress":[]}`) {
		t.Errorf("one that has none shows those of others: %s, %v", body, err)
	}
	if body, err = nothing(said).body(clustermesh.ServiceName{Namespace: "shop", Name: "web"}, said); err != nil || !strings.Contains(string(body), `"status":{}`) {
		t.Errorf("nothing to say: %s, %v", body, err)
	}
}

func nothing(s *Said) want { return wanted(source.ServiceStatus{}, s, time.Time{}) }
