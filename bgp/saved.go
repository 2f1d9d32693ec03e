package bgp

import (
	"errors"
	"fmt"
	"net/netip"

	"tombolo.io/tombolo/bgp/advertise"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/internal/kept"
)

// savedVersion is that of the file's form; another one is not read.
const savedVersion = 1

// saved is what a speaker keeps on disk: the last complete picture, so that it
// can come back while the store is away before the routers give up on it.
type saved struct {
	Version int
	Node    string
	// ID is the BGP identifier: a speaker that comes back with another one is
	// another speaker for its routers.
	ID      netip.Addr
	Routers []router
}

// router is a router and the paths that it should have.
type router struct {
	Peer  clustermesh.BGPPeer
	Paths []advertise.Path
}

// load reads the picture of a node. A file that is not there is an empty
// picture; one that is damaged or another node's is an error and not used.
func load(path, node string) (saved, error) {
	s, ok, err := kept.Read[saved](path)
	if err == nil && ok {
		err = s.check(node)
	}
	if err != nil {
		return saved{}, fmt.Errorf("reading the saved paths of %s: %w", path, err)
	}
	return s, nil
}

func (s saved) check(node string) error {
	if s.Version != savedVersion {
		return fmt.Errorf("version %d, want %d", s.Version, savedVersion)
	}
	if s.Node != node {
		return fmt.Errorf("they are of node %q, this is %q", s.Node, node)
	}
	if !s.ID.Is4() {
		return fmt.Errorf("the BGP identifier %s is no IPv4 address", s.ID)
	}
	for _, r := range s.Routers {
		if r.Peer.Name == "" || !r.Peer.Address.IsValid() {
			return errors.New("a router has no name or address")
		}
		for _, p := range r.Paths {
			if !p.Prefix.IsValid() || p.NextHop.Is4() != p.Prefix.Addr().Is4() || !p.NextHop.IsValid() {
				return fmt.Errorf("router %s: the path %s by way of %s is none", r.Peer.Name, p.Prefix, p.NextHop)
			}
		}
	}
	return nil
}

// store replaces the file at once: a reader finds the old picture or the new.
func (s saved) store(path string) error {
	s.Version = savedVersion
	if err := kept.Write(path, s); err != nil {
		return fmt.Errorf("saving the paths: %w", err)
	}
	return nil
}
