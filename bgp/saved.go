package bgp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"

	"tombolo.io/tombolo/bgp/advertise"
	"tombolo.io/tombolo/clustermesh"
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
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return saved{}, nil
	}
	if err != nil {
		return saved{}, fmt.Errorf("reading the saved paths: %w", err)
	}
	var s saved
	if err := json.Unmarshal(text, &s); err != nil {
		return saved{}, fmt.Errorf("reading the saved paths of %s: %w", path, err)
	}
	if err := s.check(node); err != nil {
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
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encoding the saved paths: %w", err)
	}
	// One name, not a random one: what a killed process left is written over.
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("saving the paths: %w", err)
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("saving the paths: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}
