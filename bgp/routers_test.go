package bgp

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	lab "tombolo.io/tombolo/deploy/lab/router"
)

// TestRouters changes the object of one of two routers in every way: the
// session with the other one stays, and what cannot be used takes nothing away.
func TestRouters(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	w := s.world
	key := filepath.Join(s.dir, "key")
	keyed := func(p *clustermesh.BGPPeer) { p.PasswordFile = key }
	w.fill()
	w.peer(1, keyed)
	w.peer(2)
	w.services("")
	w.mark()
	tor1, tor2 := s.route(1, lab.FRR, lab.Config{Password: "secret"}), s.route(2, lab.BIRD, lab.Config{})
	s.speak()
	tor2.has(all...)
	tor1.has()
	s.complete("tor2")
	other := s.established("tor2")

	s.refused("tor1", "Refused", "no such file")
	writeKey(t, key, "\n")
	s.refused("tor1", "Refused", "is empty")
	writeKey(t, key, strings.Repeat("x", 81))
	s.refused("tor1", "Refused", "at most 80 bytes")
	writeKey(t, key, "wrong\n")
	s.refused("tor1", "", "no TCP answer: the router is away or has another MD5 key")
	writeKey(t, key, "secret\n")
	tor1.has(all...)
	s.complete("tor1")

	before := s.established("tor1")
	w.peer(1, keyed, func(p *clustermesh.BGPPeer) { p.HoldTime = 6 * time.Second })
	s.peer("tor1", "with another hold time", func(p PeerStatus) bool { return !p.Since.Equal(before.Since) })
	s.complete("tor1")
	tor1.keeps("another hold time")

	w.peer(1, func(p *clustermesh.BGPPeer) { p.PasswordFile = "/nowhere" })
	s.refused("tor1", "Established", "/nowhere")
	w.services("unready")
	tor1.has(always...) // a withdrawal does not wait until the object is mended
	w.peer(1, keyed, func(p *clustermesh.BGPPeer) { p.HoldTime = 6 * time.Second })
	s.peer("tor1", "mended", func(p PeerStatus) bool { return p.State == "Established" && p.Reason == "" })

	w.peer(1, keyed, func(p *clustermesh.BGPPeer) { p.ASN = 64999 })
	s.refused("tor1", "", "peer says its AS is 64512, we expect 64999")
	w.peer(1, keyed)
	s.complete("tor1")
	tor1.has(always...)
	w.remove(clustermesh.Private, &clustermesh.BGPPeer{Name: "tor1"})
	tor1.has()

	if now := s.established("tor2"); !now.Since.Equal(other.Since) {
		t.Errorf("the session with tor2 is of %v, was of %v", now.Since, other.Since)
	}
	tor2.lost() // web went when it became unready

	// A mirror that this process never saw whole has no say about what goes, and
	// a session that came up a moment ago is not ended for another hold time
	// before the router was told all.
	s.kill()
	w.forgetWest(clustermesh.ServiceName{Namespace: "d", Name: "far"})
	w.peer(2, func(p *clustermesh.BGPPeer) { p.HoldTime = 6 * time.Second })
	s.speak()
	s.source("store")
	s.complete("tor2")
	tor2.has(always...)
	tor2.keeps("started again without west's mirror")
	w.mark()
	tor2.has("10.1.1.0/24", "fd01:1::/64", "192.0.2.4/32")
	tor2.lost()

	w.remove(clustermesh.Export, &clustermesh.Node{Name: "n1"})
	s.reason("the store has no node n1: what was advertised before stays")
	tor2.keeps("the node's object removed")

	s.stop()
	s.speak(func(c *speakerConfig) { c.Final = true })
	s.complete("tor2")
	tor2.keeps("started again without the node's object")
	s.stop()
	tor2.has()
}

func writeKey(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// established returns how an established session is.
func (s *site) established(name string) PeerStatus {
	s.t.Helper()
	return s.peer(name, "established", func(p PeerStatus) bool { return p.State == "Established" })
}

// refused waits until a session is in a state, or in any that is not named, for
// a reason, which the speaker also gives for not being well.
func (s *site) refused(name, state, reason string) {
	s.t.Helper()
	s.peer(name, "is refused for "+reason, func(p PeerStatus) bool {
		return (state == "" || p.State == state) && strings.Contains(p.Reason, reason)
	})
	s.reason(reason)
}

// reason waits until the speaker gives a reason for not being well.
func (s *site) reason(want string) {
	s.t.Helper()
	s.until("reason "+want, func() string {
		st, err := ask[struct {
			Health  clustermesh.Health
			Reasons []string
		}](s, "/status")
		if all := strings.Join(st.Reasons, "; "); err != nil || st.Health != clustermesh.HealthDegraded || !strings.Contains(all, want) {
			return string(st.Health) + ": " + all
		}
		return ""
	})
}
