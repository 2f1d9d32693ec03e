package clustermesh

import "crypto/ed25519"

// Seal is by what the agents of a cluster prove to those of others whose they
// are, when they ask each other over the data path. Its leader makes it once; the
// private half lies under private/seal, which nodes may read and peers may not,
// the public half is Cluster.Seal.
type Seal struct {
	// Seed is that of an Ed25519 key.
	Seed Secret
}

// Secret is not for people: as text it is only that there is one.
type Secret []byte

// String returns a word that says nothing.
func (Secret) String() string { return "(secret)" }

// MarshalText returns what String does.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Key returns the private key.
func (s *Seal) Key() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(s.Seed) }

// Public returns the half that all may know.
func (s *Seal) Public() ed25519.PublicKey { return s.Key().Public().(ed25519.PublicKey) }

func (s *Seal) check(c *checker) { c.size("seed", len(s.Seed), ed25519.SeedSize) }

// size checks the length of bytes.
func (c *checker) size(field string, n, want int) {
	if n != want {
		c.fail(field, n, "must have %d bytes", want)
	}
}
