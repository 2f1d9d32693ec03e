package gossip

import (
	"errors"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"

	"tombolo.io/tombolo/clustermesh"
)

// grace is for how long keys that were removed are still accepted: others may have
// used them a moment longer, and the new keys of a store that was lost have none of
// the old ones among them.
const grace = 10 * time.Second

// keys are those of the cluster, and memberlist's keyring that follows them.
type keys struct {
	ring *clustermesh.Keyring
	live *memberlist.Keyring
	// until is when those that left the ring go; zero when none did.
	until time.Time
}

// set takes the cluster's keys over. At every moment the keyring has all that were
// there before, so that nothing under way is lost.
func (k *keys) set(ring *clustermesh.Keyring, now time.Time) error {
	if k.live == nil {
		k.live = &memberlist.Keyring{}
	}
	k.ring = ring
	var errs []error
	for _, g := range ring.Keys {
		errs = append(errs, k.live.AddKey(g.Secret[:]))
	}
	errs = append(errs, k.live.UseKey(ring.Keys[ring.Use].Secret[:]))
	if k.until = (time.Time{}); len(k.live.GetKeys()) > len(ring.Keys) {
		k.until = now.Add(grace)
	}
	return errors.Join(errs...)
}

// expire removes keys whose grace is over. RemoveKey moves the keys behind the one
// that goes in place, under the eyes of who decrypts with them; so those that stay
// come to the front first, and the others go from the end.
func (k *keys) expire(now time.Time) error {
	if k.until.IsZero() || now.Before(k.until) {
		return nil
	}
	k.until = time.Time{}
	var errs []error
	for _, g := range k.ring.Keys {
		errs = append(errs, k.live.UseKey(g.Secret[:]))
	}
	errs = append(errs, k.live.UseKey(k.ring.Keys[k.ring.Use].Secret[:]))
	for _, key := range slices.Backward(k.live.GetKeys()) {
		if !k.has(key) {
			errs = append(errs, k.live.RemoveKey(key))
		}
	}
	return errors.Join(errs...)
}

func (k *keys) has(key []byte) bool {
	return slices.ContainsFunc(k.ring.Keys, func(g clustermesh.GossipKey) bool { return string(g.Secret[:]) == string(key) })
}

// ids returns the names of the cluster's keys, that of the one in use first.
func (k *keys) ids() []string {
	if k.ring == nil {
		return nil
	}
	return k.ring.IDs()
}
