package apiserver

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/internal/etcdtest"
)

// Who waits for whom: keys are written as letters, the one in use in capitals.
func TestNextKeyring(t *testing.T) {
	secret := func(c byte) clustermesh.GossipSecret { return clustermesh.GossipSecret{c} }
	id := func(c byte) string { return secret(c).ID() }
	read := func(text string) *clustermesh.Keyring {
		k := &clustermesh.Keyring{}
		for i := range len(text) {
			c := text[i]
			if c < 'a' {
				c, k.Use = c+'a'-'A', uint8(i)
			}
			k.Keys = append(k.Keys, clustermesh.GossipKey{Secret: secret(c), Since: time.Unix(int64(i), 0)})
		}
		return k
	}
	write := func(k *clustermesh.Keyring) (out string) {
		for i, g := range k.Keys {
			c := string(g.Secret[:1])
			if i == int(k.Use) {
				c = strings.ToUpper(c)
			}
			out += c
		}
		return out
	}
	for _, c := range []struct {
		ring   string
		agents string // what each has, the one in use first; - for none
		want   string
	}{
		{"A", "a", "A []"},
		{"Ab", "ab ab", "aB []"},
		{"Ab", "a ab", "Ab [n1]"},
		{"Ab", "a a -", "Ab [n1 n2]"},
		{"Ab", "", "aB []"},
		{"Ab", "- -", "aB []"},
		{"aB", "ba ab", "aB [n2]"},
		{"aB", "ba ba", "B []"},
		{"aB", "b", "B []"},
		{"Abc", "ab", "Abc [n1]"},
		{"Abc", "abc", "abC []"},
		{"abC", "cab", "C []"},
	} {
		reports := map[string]*clustermesh.ProcessStatus{}
		for i, has := range strings.Fields(c.agents) {
			p := &clustermesh.ProcessStatus{}
			for _, k := range []byte(strings.Trim(has, "-")) {
				p.GossipKeys = append(p.GossipKeys, id(k))
			}
			reports[fmt.Sprintf("n%d", i+1)] = p
		}
		next, missing := nextKeyring(read(c.ring), reports)
		if got := fmt.Sprint(write(next), " ", missing); got != c.want {
			t.Errorf("%s with agents %q: got %s, want %s", c.ring, c.agents, got, c.want)
		}
	}
}

// ring returns the keys that are stored.
func (r *rig) ring() *clustermesh.Keyring {
	o, err := clustermesh.DecodeAt(clustermesh.Root+"private/gossip", r.have["private/gossip"])
	if err != nil {
		return &clustermesh.Keyring{Keys: make([]clustermesh.GossipKey, 1)}
	}
	return o.(*clustermesh.Keyring)
}

// A key is exchanged as the agents take it, also when another leads meanwhile, and
// outlives the store.
func TestRotateGossip(t *testing.T) {
	r := newRig(t)
	client := r.store.Dial()
	report := func(node string, keys ...string) {
		p := &clustermesh.ProcessStatus{Role: clustermesh.RoleAgent, Node: node, Health: clustermesh.HealthOK, GossipKeys: keys}
		value, err := clustermesh.Encode(p)
		if err != nil {
			t.Fatal(err)
		}
		etcdtest.Put(t, client, clustermesh.KeyOf(clustermesh.Status, p).String(), string(value))
	}
	first := r.serve("n1")
	r.well(first)
	r.until("there is a key", func() bool { return r.ring().Keys[0].Secret != clustermesh.GossipSecret{} })
	old := r.ring().Keys[0].Secret
	report("a1", old.ID())
	report("a2", old.ID())
	report("a3") // does not gossip
	if err := first.RotateGossip(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.until("a new one is installed", func() bool { return len(r.ring().Keys) == 2 })
	fresh := r.ring().Keys[1].Secret
	if err := first.RotateGossip(t.Context()); err == nil || !strings.Contains(err.Error(), "is being exchanged already") {
		t.Errorf("a second exchange: %v", err)
	}
	report("a1", old.ID(), fresh.ID())
	first.stop()
	second := r.serve("n2")
	r.until("the second leads", func() bool { return second.Status().Leader && second.Status().Synced })
	if got := r.ring(); len(got.Keys) != 2 || got.Use != 0 {
		t.Errorf("before all have it the keys are %+v", got)
	}
	report("a2", old.ID(), fresh.ID())
	r.until("the new one is in use", func() bool { return r.ring().Use == 1 })
	report("a1", fresh.ID(), old.ID())
	report("a2", fresh.ID(), old.ID())
	r.until("the old one is gone", func() bool { k := r.ring(); return len(k.Keys) == 1 && k.Keys[0].Secret == fresh })

	before := second.Status().Epoch
	r.store.Stop()
	r.store.Config.Dir = t.TempDir()
	r.store.Start()
	r.until("the new store is written", func() bool { s := second.Status(); return s.Synced && s.Epoch != before })
	if s := second.Status(); len(s.Gossip) != 1 || s.Gossip[0] != fresh.ID() || s.Rotating != "" {
		t.Errorf("%+v", s)
	}
	kv, ok, err := client.Get(t.Context(), clustermesh.Root+"private/gossip")
	if err != nil || !ok {
		t.Fatalf("the new store has no keys: %v", err)
	}
	o, err := clustermesh.DecodeAt(kv.Key, kv.Value)
	if err != nil || o.(*clustermesh.Keyring).Keys[0].Secret != fresh {
		t.Errorf("the new store has %+v, %v", o, err)
	}
}

func TestRotationLags(t *testing.T) {
	r := rotation{missing: []string{"n1", "n2"}, since: time.Unix(100, 0)}
	if err := r.reason(time.Unix(100, 0).Add(lagging - 1)); err != nil {
		t.Error(err)
	}
	if err := r.reason(time.Unix(100, 0).Add(lagging)); err == nil || !strings.Contains(err.Error(), "n1, n2") {
		t.Errorf("got %v", err)
	}
}
