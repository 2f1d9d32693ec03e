package apiserver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
)

// The keys of the agents' gossip are made here, and exchanged in steps. Each waits
// until all agents that gossip have reported that they took the one before; then no
// message is lost between two of them.

// rotateEvery is how often the agents' reports are read while keys are exchanged.
const rotateEvery = 500 * time.Millisecond

// rotation is how far an exchange is.
type rotation struct {
	// next is when to look again.
	next time.Time
	// missing are the agents that are waited for, sorted, since when.
	missing []string
	since   time.Time
}

// RotateGossip begins to exchange the key of the agents' gossip for a new one, and
// returns when that is stored. Only the API server that leads can.
func (a *APIServer) RotateGossip(ctx context.Context) error {
	return a.order(ctx, "exchanging the key of gossip", func(t *term, now time.Time) error { return t.rotate(now) })
}

// keyring stages the keys of gossip, which are made if there are none.
func (t *term) keyring(now time.Time) {
	if t.gossip == nil {
		t.gossip = &clustermesh.Keyring{Keys: []clustermesh.GossipKey{{Secret: clustermesh.NewGossipSecret(), Since: now.UTC()}}}
	}
	t.setKeyring(t.gossip)
}

func (t *term) setKeyring(k *clustermesh.Keyring) {
	t.gossip = k
	key := clustermesh.KeyOf(clustermesh.Private, k).String()
	delete(t.invalid, key)
	t.put(key, k, key)
}

// rotate installs a new key beside the one in use.
func (t *term) rotate(now time.Time) error {
	if len(t.gossip.Keys) > 1 {
		return fmt.Errorf("exchanging the key of gossip: key %s is being exchanged already; see tombolo gossip", t.gossip.Keys[0].Secret.ID())
	}
	fresh := clustermesh.GossipKey{Secret: clustermesh.NewGossipSecret(), Since: now.UTC()}
	t.setKeyring(&clustermesh.Keyring{Keys: append(slices.Clone(t.gossip.Keys), fresh)})
	t.rotation = rotation{since: now, next: now.Add(rotateEvery)}
	return nil
}

// rotating reports whether keys are being exchanged.
func (t *term) rotating() bool { return t.gossip != nil && len(t.gossip.Keys) > 1 }

// rotateStep takes the next step of an exchange, if all agents took the one before.
// Without an answer of the store it waits on.
func (t *term) rotateStep(ctx context.Context, c *etcd.Client, now time.Time) {
	if !t.rotating() || now.Before(t.rotation.next) {
		return
	}
	if t.rotation.since.IsZero() { // the one who led before began
		t.rotation.since = now
	}
	t.rotation.next = now.Add(rotateEvery)
	if t.writer.Staged() > 0 {
		return // the step before may not be stored yet
	}
	reports, err := agentReports(ctx, c, "")
	if err != nil {
		return
	}
	ring, missing := nextKeyring(t.gossip, reports)
	if t.rotation.missing = missing; ring == t.gossip {
		return
	}
	t.rotation.since = now
	t.setKeyring(ring)
}

// nextKeyring returns the keys after the next step of an exchange, or the same and
// the agents that are waited for. Agents that have no key do not gossip. It is pure,
// so that a leader goes on where the one before it stopped.
func nextKeyring(k *clustermesh.Keyring, reports map[string]*clustermesh.ProcessStatus) (next *clustermesh.Keyring, missing []string) {
	newest := uint8(len(k.Keys) - 1)
	fresh := k.Keys[newest].Secret.ID()
	for node, p := range reports {
		switch {
		case len(p.GossipKeys) == 0:
		case k.Use != newest && !slices.Contains(p.GossipKeys, fresh), k.Use == newest && p.GossipKeys[0] != fresh:
			missing = append(missing, node)
		}
	}
	slices.Sort(missing)
	switch {
	case len(missing) > 0:
		return k, missing
	case k.Use != newest:
		return &clustermesh.Keyring{Keys: k.Keys, Use: newest}, nil
	}
	return &clustermesh.Keyring{Keys: k.Keys[newest:]}, nil
}

// lagging is how long an exchange may wait before that is worth a word.
const lagging = 30 * time.Second

// reason says who holds an exchange up; nothing while nobody does for long.
func (r rotation) reason(now time.Time) error {
	if len(r.missing) == 0 || now.Sub(r.since) < lagging {
		return nil
	}
	named := r.missing[:min(len(r.missing), maxReasons)]
	return errors.New("the key of gossip is not exchanged yet: the agents of " + strings.Join(named, ", ") + " have not taken the last step")
}
