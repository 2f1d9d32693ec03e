// The definitions are tried in a real API server.
package crds

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"tombolo.io/tombolo/api/crdtest"
	"tombolo.io/tombolo/api/v1alpha1"
	"tombolo.io/tombolo/internal/kubetest"
)

var kinds = []string{"ClusterPeer", "BGPPeer", "BGPAdvertisement", "AddressPool"}

// api is a real kube-apiserver with our definitions.
type api struct {
	*kubetest.Cluster
	client *http.Client
	url    string
}

func served(t *testing.T) api {
	t.Helper()
	cluster := kubetest.New(t, kubetest.Config{})
	cluster.Kubectl("", "apply", "--server-side", "-f", ".")
	cluster.Kubectl("", "wait", "--for=condition=Established", "--timeout=60s", "-f", ".")
	client, err := cluster.Admin().Client()
	if err != nil {
		t.Fatal(err)
	}
	return api{cluster, client, cluster.Admin().URL}
}

// cause is one thing that the API server tells of an object.
type cause struct {
	Reason, Message, Field string
}

// send sends an object and returns what the API server refuses of it.
func (a api) send(t *testing.T, method, path string, object map[string]any) []cause {
	t.Helper()
	body, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, a.url+"/apis/"+v1alpha1.APIVersion+"/"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	answer, err := a.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode < 300 {
		return nil
	}
	var status struct {
		Message string
		Details struct{ Causes []cause }
	}
	if err := json.Unmarshal(text, &status); err != nil || len(status.Details.Causes) == 0 {
		t.Fatalf("%s %s: %s: %s", method, path, answer.Status, text)
	}
	return status.Details.Causes
}

func plural(kind string) string { return strings.ToLower(kind) + "s" }

// The real kube-apiserver decides on every row as the schemas' library does.
func TestDefinitions(t *testing.T) {
	a := served(t)
	for _, kind := range kinds {
		rows, err := crdtest.Rows(kind)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range rows {
			t.Run(kind+"/"+r.Row, func(t *testing.T) {
				now, before := r.Object()
				var got []cause
				if before == nil {
					got = a.send(t, http.MethodPost, plural(kind)+"?dryRun=All", now)
				} else {
					got = a.change(t, kind, fmt.Sprintf("%s-%d", r.Name, i), now, before)
				}
				judge(t, r, got)
			})
		}
	}
	t.Run("columns", a.columns)
}

// judge compares what the API server tells of a row with what the row says.
func judge(t *testing.T, r crdtest.Row, got []cause) {
	t.Helper()
	field, what, _ := strings.Cut(r.Wrong, ": ")
	matches := func(c cause) bool {
		return c.Field == field && (strings.Contains(c.Message, what) || strings.HasPrefix(c.Message, what+":"))
	}
	switch {
	case r.Wrong == "" && len(got) > 0:
		t.Errorf("it is refused: %+v", got)
	case r.Wrong != "" && !slices.ContainsFunc(got, matches):
		t.Errorf("want %q, got %+v", r.Wrong, got)
	}
}

// change makes an object and changes it.
func (a api) change(t *testing.T, kind, name string, now, before map[string]any) []cause {
	t.Helper()
	before["metadata"].(map[string]any)["name"] = name
	if got := a.send(t, http.MethodPost, plural(kind), before); got != nil {
		t.Fatalf("the object before is refused: %+v", got)
	}
	var read map[string]any
	text := a.Kubectl("", "get", kind, name, "-o", "json")
	if err := json.Unmarshal([]byte(text), &read); err != nil {
		t.Fatal(err)
	}
	now["metadata"] = read["metadata"]
	return a.send(t, http.MethodPut, plural(kind)+"/"+name+"?dryRun=All", now)
}

// columns shows what people see of our kinds: short names, a category, columns.
func (a api) columns(t *testing.T) {
	for _, kind := range kinds {
		rows, err := crdtest.Rows(kind)
		if err != nil {
			t.Fatal(err)
		}
		now, _ := rows[0].Object()
		text, err := json.Marshal(now)
		if err != nil {
			t.Fatal(err)
		}
		a.Kubectl(string(text), "apply", "--server-side", "-f", "-")
	}
	for short, want := range map[string]string{
		"cpeer": "NAME ID READY REASON AGE", "bgpp": "NAME ADDRESS ASN NODES ESTABLISHED READY AGE",
		"bgpadv": "NAME POD CIDRS LOADBALANCER IPS PEERS ACCEPTED AGE", "apool": "NAME SCOPE AUTO ALLOCATED AVAILABLE CONFLICTED AGE",
	} {
		head, _, _ := strings.Cut(a.Kubectl("", "get", short), "\n")
		if got := strings.Join(strings.Fields(head), " "); got != want {
			t.Errorf("%s: got %q, want %q", short, got, want)
		}
	}
	got := a.Kubectl("", "get", "tombolo", "-o", "name")
	for _, kind := range kinds {
		if !strings.Contains(got, strings.ToLower(kind)+".tombolo.io/x\n") {
			t.Errorf("the category lacks the %s: %s", kind, got)
		}
	}
}
