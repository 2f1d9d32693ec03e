package clustermesh

import (
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"

	"tombolo.io/tombolo/clustermesh/meshpb"
)

// MaxValueSize bounds a stored value; etcd itself refuses requests of more
// than 1.5 MiB.
const MaxValueSize = 1 << 20

// Object is one of the nouns that the store holds: a pointer to one of the
// types of this package. An object is immutable once it is shared.
type Object interface {
	// Kind is the table in which the object lies.
	Kind() Kind
	// keyName is what the object's key says after the kind.
	keyName() string
	// message is the object in its wire form.
	message() proto.Message
	// check reports to c every field that is not well formed.
	check(c *checker)
}

// KeyOf returns the key of an object in an area of its own cluster. A mirror
// sets the cluster besides; the key of a marker comes from Key.Marker, for a
// Synced does not know its table.
func KeyOf(a Area, o Object) Key {
	return Key{Area: a, Kind: o.Kind(), Name: o.keyName()}
}

// Encode returns the object in its wire form. Equal objects give equal bytes,
// within one version of Tombolo. An object that Decode would refuse under its
// key is an *InvalidError.
func Encode(o Object) ([]byte, error) {
	c := checker{subject: string(o.Kind()) + " " + o.keyName()}
	o.check(&c)
	if err := c.err(); err != nil {
		return nil, err
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(o.message())
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", c.subject, err)
	}
	if len(b) > MaxValueSize {
		return nil, fmt.Errorf("encoding %s: %d bytes, of which a value has at most %d", c.subject, len(b), MaxValueSize)
	}
	return b, nil
}

// Decode returns the object stored under a key. Whatever is not exactly well
// formed, or does not belong under this key, is an *InvalidError that names the
// key, each field, its value and the reason. Fields that this version does not
// know are ignored.
func Decode(k Key, value []byte) (Object, error) {
	read, ok := readers[k.Kind]
	if !ok {
		return nil, fmt.Errorf("decoding %s: no objects of kind %q", k, k.Kind)
	}
	if len(value) > MaxValueSize {
		return nil, fmt.Errorf("decoding %s: %d bytes, of which a value has at most %d", k, len(value), MaxValueSize)
	}
	c := checker{subject: k.String()}
	o, err := read(&c, value)
	if err != nil {
		return nil, fmt.Errorf("decoding %s: %w", k, err)
	}
	o.check(&c)
	c.agree(k, o)
	if err := c.err(); err != nil {
		return nil, err
	}
	return o, nil
}

// DecodeAt is ParseKey and Decode.
func DecodeAt(key string, value []byte) (Object, error) {
	k, err := ParseKey(key)
	if err != nil {
		return nil, err
	}
	return Decode(k, value)
}

// MarkerAt returns the key of the marker that vouches for a stored key, and
// false for what needs none or is no key; see Key.Marker.
func MarkerAt(key string) (string, bool) {
	k, err := ParseKey(key)
	if err != nil {
		return "", false
	}
	m, ok := k.Marker()
	return m.String(), ok
}

// MarkerEpoch returns the epoch that the value of a marker names.
func MarkerEpoch(value []byte) (string, error) {
	var m meshpb.Synced
	if err := unmarshal(value, &m); err != nil {
		return "", fmt.Errorf("decoding a marker: %w", err)
	}
	return m.GetEpoch(), nil
}

// readers turns the bytes of each kind into an object, unchecked but for
// numbers that do not fit their field.
var readers = map[Kind]func(*checker, []byte) (Object, error){
	KindCluster:    reader(readCluster),
	KindLease:      reader(readLease),
	KindNodes:      reader(readNode),
	KindServices:   reader(readService),
	KindSlices:     reader(readSlice),
	KindIdentities: reader(readIdentity),
	KindEndpoints:  reader(readEndpointIdentity),
	KindSynced:     reader(readSynced),
	KindState:      reader(readMirrorState),
	KindProcess:    reader(readProcess),
	KindPeers:      reader(readPeer),
	KindBGPPeers:   reader(readBGPPeer),
	KindBGPAdverts: reader(readAdvertisement),
	KindDrains:     reader(readDrain),
	KindSeal:       reader(readSeal),
	KindGossip:     reader(readKeyring),
	KindOrigin:     reader(readOrigin),
	KindPools:      reader(readPool),
	KindAddresses:  reader(readAddress),
	KindExports:    reader(readExport),
	KindImports:    reader(readImport),
	KindAsked:      reader(readCheckRequest),
	KindAnswers:    reader(readCheckAnswer),
}

func reader[M any, P interface {
	*M
	proto.Message
}, O Object](read func(*checker, P) O) func(*checker, []byte) (Object, error) {
	return func(c *checker, value []byte) (Object, error) {
		m := P(new(M))
		if err := unmarshal(value, m); err != nil {
			return nil, err
		}
		return read(c, m), nil
	}
}

func unmarshal(value []byte, m proto.Message) error {
	return proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(value, m)
}

// Kind implements Object.
func (*Cluster) Kind() Kind { return KindCluster }

// Kind implements Object.
func (*Lease) Kind() Kind { return KindLease }

// Kind implements Object.
func (*Node) Kind() Kind { return KindNodes }

// Kind implements Object.
func (*Service) Kind() Kind { return KindServices }

// Kind implements Object.
func (*EndpointSlice) Kind() Kind { return KindSlices }

// Kind implements Object.
func (*Identity) Kind() Kind { return KindIdentities }

// Kind implements Object.
func (*EndpointIdentity) Kind() Kind { return KindEndpoints }

// Kind implements Object.
func (*Synced) Kind() Kind { return KindSynced }

// Kind implements Object.
func (*MirrorState) Kind() Kind { return KindState }

// Kind implements Object.
func (*ProcessStatus) Kind() Kind { return KindProcess }

// Kind implements Object.
func (*Peer) Kind() Kind { return KindPeers }

// Kind implements Object.
func (*BGPPeer) Kind() Kind { return KindBGPPeers }

// Kind implements Object.
func (*BGPAdvertisement) Kind() Kind { return KindBGPAdverts }

// Kind implements Object.
func (*Drain) Kind() Kind { return KindDrains }

// Kind implements Object.
func (*Seal) Kind() Kind { return KindSeal }

// Kind implements Object.
func (*Keyring) Kind() Kind { return KindGossip }

// Kind implements Object.
func (*Origin) Kind() Kind { return KindOrigin }

// Kind implements Object.
func (*Pool) Kind() Kind { return KindPools }

// Kind implements Object.
func (*Address) Kind() Kind { return KindAddresses }

// Kind implements Object.
func (*ServiceExport) Kind() Kind { return KindExports }

// Kind implements Object.
func (*ServiceImport) Kind() Kind { return KindImports }

// Kind implements Object.
func (*CheckRequest) Kind() Kind { return KindAsked }

// Kind implements Object.
func (*CheckAnswer) Kind() Kind { return KindAnswers }

func (*Cluster) keyName() string            { return "" }
func (*Lease) keyName() string              { return "" }
func (n *Node) keyName() string             { return n.Name }
func (s *Service) keyName() string          { return s.Name.String() }
func (s *EndpointSlice) keyName() string    { return s.Service.String() + "/" + s.Name }
func (i *Identity) keyName() string         { return strconv.FormatUint(uint64(i.ID), 10) }
func (e *EndpointIdentity) keyName() string { return e.Address.String() }
func (*Synced) keyName() string             { return "" }
func (*MirrorState) keyName() string        { return "" }
func (*Seal) keyName() string               { return "" }
func (p *ProcessStatus) keyName() string    { return p.Role + "/" + p.Node }
func (p *Peer) keyName() string             { return p.Name }
func (p *BGPPeer) keyName() string          { return p.Name }
func (a *BGPAdvertisement) keyName() string { return a.Name }
func (d *Drain) keyName() string            { return string(d.What) + "/" + d.Name }
func (*Keyring) keyName() string            { return "" }
func (*Origin) keyName() string             { return "" }
func (p *Pool) keyName() string             { return p.Name }
func (a *Address) keyName() string          { return a.Address.String() }
func (e *ServiceExport) keyName() string    { return e.Service.Name.String() }
func (i *ServiceImport) keyName() string    { return i.Service.Name.String() }
func (r *CheckRequest) keyName() string     { return r.ID }
func (a *CheckAnswer) keyName() string      { return a.Node }
