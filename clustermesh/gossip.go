package clustermesh

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"
)

// Keyring holds the keys with which the agents of a cluster encrypt what they
// gossip. It lies in private/gossip, where no other cluster reads.
//
// A key is exchanged without a gap in three steps, each of which waits until all
// agents have taken the one before: the new key is installed, then it encrypts,
// then the old one is removed.
type Keyring struct {
	// Keys are different, the oldest first: one, or two while it is exchanged.
	// All of them decrypt.
	Keys []GossipKey
	// Use is the index of the one that encrypts.
	Use uint8
}

// GossipKey is a key of gossip, and since when there is it.
type GossipKey struct {
	Secret GossipSecret
	Since  time.Time
}

// MaxGossipKeys bounds a Keyring.
const MaxGossipKeys = 4

// GossipSecret is a key of AES-256. What prints it prints its ID.
type GossipSecret [32]byte

// NewGossipSecret returns a random secret.
func NewGossipSecret() (s GossipSecret) {
	rand.Read(s[:]) // which never fails
	return s
}

// ID names a secret without telling it: the first eight hexadecimal digits of its
// SHA-256.
func (s GossipSecret) ID() string {
	sum := sha256.Sum256(s[:])
	return hex.EncodeToString(sum[:4])
}

// String returns the ID.
func (s GossipSecret) String() string { return s.ID() }

// GoString returns the ID.
func (s GossipSecret) GoString() string { return s.ID() }

// MarshalText returns the ID.
func (s GossipSecret) MarshalText() ([]byte, error) { return []byte(s.ID()), nil }

// IDs returns the names of the keys, that of the one that encrypts first.
func (k *Keyring) IDs() []string {
	var out []string
	for i, key := range k.Keys {
		if i == int(k.Use) {
			out = slices.Insert(out, 0, key.Secret.ID())
		} else {
			out = append(out, key.Secret.ID())
		}
	}
	return out
}

func (k *Keyring) check(c *checker) {
	if len(k.Keys) == 0 {
		c.fail("keys", 0, "must not be empty")
	}
	c.count("keys", len(k.Keys), MaxGossipKeys)
	if int(k.Use) >= len(k.Keys) {
		c.fail("use", k.Use, "must be the index of a key")
	}
	for i, key := range k.Keys[:min(len(k.Keys), MaxGossipKeys)] {
		c.enter("keys", i)
		if key.Secret == (GossipSecret{}) {
			c.fail("secret", "", "must be 32 bytes, and not zero")
		}
		if key.Since.IsZero() {
			c.fail("since", key.Since, "must not be empty")
		}
		if slices.ContainsFunc(k.Keys[:i], func(o GossipKey) bool { return o.Secret == key.Secret }) {
			c.fail("secret", key.Secret, "must be there once")
		}
		c.leave()
	}
}
