package embedded

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"tombolo.io/tombolo/etcd"
)

func three() Cluster {
	return Cluster{Name: "b", Root: etcd.TLSFiles{CA: "ca", Cert: "cert", Key: "key"}, Members: map[string]string{
		"a": "https://a.example:2380", "b": "https://b.example:2380", "c": "https://c.example:2380",
	}}
}

// What a member without data does, by what the others answer.
func TestDecide(t *testing.T) {
	waits, away := answer{waits: true}, answer{err: errors.New("refused")}
	has := answer{client: []string{"https://c:2379"}}
	for _, c := range []struct {
		what, name string
		answers    map[string]answer
		want       step
		reason     string
	}{
		{"the first of all that are there and empty", "a", map[string]answer{"b": waits, "c": waits}, found, ""},
		{"another of them", "b", map[string]answer{"a": waits, "c": waits}, wait, "the first of them founds"},
		{"one is away: perhaps it has the store", "a", map[string]answer{"b": waits, "c": away}, wait, "away: c (refused)"},
		{"another process has its name and its URL", "a", map[string]answer{"a": has, "b": waits, "c": has}, wait, `another process is the member "a"`},
		{"it hears itself", "a", map[string]answer{"a": waits, "b": waits, "c": waits}, found, ""},
		{"nobody answered at all", "a", nil, wait, "away: b (no answer), c (no answer)"},
		{"one has a store", "a", map[string]answer{"b": away, "c": has}, join, "https://c:2379"},
		{"one has a store and one lost it, too", "b", map[string]answer{"a": waits, "c": has}, join, "https://c:2379"},
		{"one has a store that does not serve yet", "a", map[string]answer{"b": waits, "c": {err: errors.New("not yet")}}, wait, "not yet"},
	} {
		cluster := three()
		cluster.Name = c.name
		got, reason := decide(cluster, c.answers)
		if got != c.want || !strings.Contains(reason, c.reason) {
			t.Errorf("%s: got %v %q, want %v %q", c.what, got, reason, c.want, c.reason)
		}
	}
	alone := Cluster{Name: "a", Members: map[string]string{"a": "http://a:1"}}
	if got, _ := decide(alone, nil); got != found {
		t.Errorf("the only member: %v", got)
	}
}

func TestClusterValidate(t *testing.T) {
	if err := three().validate(true); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Cluster){
		"has 2 members":                  func(c *Cluster) { delete(c.Members, "a") },
		"is none of --etcd-members":      func(c *Cluster) { c.Name = "d" },
		"has 0 members":                  func(c *Cluster) { c.Members = nil },
		"is none such as":                func(c *Cluster) { c.Members["a"] = "https://a.example" },
		"either all served by https":     func(c *Cluster) { c.Members["a"] = "http://a.example:2380" },
		"want an address":                func(c *Cluster) { c.Listen = "https://b.example:2380" },
		"join with the certificate of r": func(c *Cluster) { c.Root.Key = "" },
	} {
		c := three()
		change(&c)
		if err := c.validate(true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// Where a server listens, and how itself and others reach it there.
func TestAddresses(t *testing.T) {
	listen := []string{"https://0.0.0.0:2379", "https://[::]:2379", "https://:2379", "https://10.0.0.1:1"}
	want := []string{"https://127.0.0.1:2379", "https://[::1]:2379", "https://127.0.0.1:2379", "https://10.0.0.1:1"}
	if got := Local(listen); !slices.Equal(got, want) {
		t.Errorf("itself: %v", got)
	}
	want = []string{"https://b.example:2379", "https://b.example:2379", "https://b.example:2379", "https://10.0.0.1:1"}
	if got, err := three().advertised(listen); err != nil || !slices.Equal(got, want) {
		t.Errorf("others: %v %v", got, err)
	}
	for url, want := range map[string]string{"https://b.example:2380": ":2380", "https://10.0.0.2:2380": "10.0.0.2:2380", "https://[fd00::2]:2380": "[fd00::2]:2380"} {
		c := three()
		c.Members["b"] = url
		if at, err := c.listen(); err != nil || at.Host != want {
			t.Errorf("%s listens on %v, %v", url, at.Host, err)
		}
	}
}
