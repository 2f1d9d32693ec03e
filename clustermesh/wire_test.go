package clustermesh

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tombolo.io/tombolo/clustermesh/meshpb"
)

// Numbers that would be cut to their field's size must be refused, not cut:
// 65616 is port 80 in 16 bits.
func TestDecodeRefusesWhatDoesNotFit(t *testing.T) {
	for _, c := range []struct {
		key    string
		change func(proto.Message)
		want   string
	}{
		{clusterKey, func(m proto.Message) { m.(*meshpb.Cluster).Id = 65537 }, "id (65537) is out of range"},
		{clusterKey, func(m proto.Message) { m.(*meshpb.Cluster).PodCidrs[0].Bits = 1 << 31 }, "pod CIDRs"},
		{clusterKey, func(m proto.Message) { m.(*meshpb.Cluster).PodCidrs[0].Address = []byte{10, 0, 0} }, "pod CIDRs"},
		{nodeKey, func(m proto.Message) { m.(*meshpb.Node).GossipPort = 65537 }, "gossip port (65537) is out of range"},
		{nodeKey, func(m proto.Message) { m.(*meshpb.Node).Addresses[0] = nil }, "addresses"},
		{nodeKey, func(m proto.Message) { m.(*meshpb.Node).GossipAddress = []byte{1} }, "gossip"},
		{serviceKey, func(m proto.Message) { m.(*meshpb.Service).Ports[0].Port = 65616 }, "ports[0].port (65616) is out of range"},
		{serviceKey, func(m proto.Message) { m.(*meshpb.Service).Ports[1].NodePort = 65536 }, "ports[1].node port (65536)"},
		{serviceKey, func(m proto.Message) { m.(*meshpb.Service).Ports[1].Protocol = 262 }, "ports[1].protocol (262)"},
		{serviceKey, func(m proto.Message) { m.(*meshpb.Service).Type = 258 }, "type"},
		{serviceKey, func(m proto.Message) { m.(*meshpb.Service).Affinity = -1 }, "affinity"},
		{serviceKey, func(m proto.Message) { m.(*meshpb.Service).ExternalPolicy = 256 }, "external policy"},
		{serviceKey, func(m proto.Message) { m.(*meshpb.Service).InternalPolicy = 256 }, "internal policy"},
		{serviceKey, func(m proto.Message) { m.(*meshpb.Service).Distribution = 256 }, "distribution"},
		{serviceKey, func(m proto.Message) { m.(*meshpb.Service).Overprovisioning = 1 << 16 }, "overprovisioning"},
		{serviceKey, func(m proto.Message) { m.(*meshpb.Service).Outliers.MaxEjectionPercent = 256 + 20 }, "outliers.max ejection percent (276) is out of range"},
		{serviceKey, func(m proto.Message) { m.(*meshpb.Service).Outliers.BaseEjectionTime = nil }, "outliers.max ejection time"},
		{serviceKey, func(m proto.Message) { m.(*meshpb.Service).Priority = 256 }, "priority (256)"},
		{serviceKey, func(m proto.Message) { m.(*meshpb.Service).Weight = 65536 }, "weight (65536)"},
		{serviceKey, func(m proto.Message) {
			m.(*meshpb.Service).SessionAffinity = &durationpb.Duration{Seconds: 1, Nanos: -1}
		}, "session affinity"},
		{serviceKey, func(m proto.Message) {
			m.(*meshpb.Service).SessionAffinity = &durationpb.Duration{Seconds: 300_000_000_000}
		}, "session affinity"},
		{serviceKey, func(m proto.Message) { m.(*meshpb.Service).Created = &timestamppb.Timestamp{Seconds: 1 << 60} }, "created"},
		{sliceKey, func(m proto.Message) { m.(*meshpb.EndpointSlice).Ports[1].Port = 65537 }, "ports[1].port (65537)"},
		{sliceKey, func(m proto.Message) { m.(*meshpb.EndpointSlice).Ports[1].Protocol = 256 }, "ports[1].protocol (256)"},
		{sliceKey, func(m proto.Message) { m.(*meshpb.EndpointSlice).Endpoints[1].Address = make([]byte, 5) }, "endpoints[1].address"},
		{stateKey, func(m proto.Message) { m.(*meshpb.MirrorState).Cluster.Id = 65537 }, "cluster.id (65537)"},
		{stateKey, func(m proto.Message) { m.(*meshpb.MirrorState).Since = &timestamppb.Timestamp{Nanos: -1} }, "since"},
		{processKey, func(m proto.Message) { m.(*meshpb.ProcessStatus).Started = &timestamppb.Timestamp{Nanos: -1} }, "started"},
		{drainKey, func(m proto.Message) { m.(*meshpb.Drain).Moved = 1<<16 + 500 }, "moved (66036) is out of range"},
		{poolKey, func(m proto.Message) { m.(*meshpb.Pool).Scope = 256 }, "scope (\"256\") is out of range"},
		{poolKey, func(m proto.Message) { m.(*meshpb.Pool).Ranges[0].First = make([]byte, 5) }, "ranges[0].first"},
		{addressKey, func(m proto.Message) { m.(*meshpb.Address).Claims[0].Ports[0].Port = 65616 }, "claims[0].port (65616) is out of range"},
		{addressKey, func(m proto.Message) { m.(*meshpb.Address).Claims[0].Ports[0].Protocol = 262 }, "claims[0].protocol (262)"},
		{addressKey, func(m proto.Message) { m.(*meshpb.Address).Released.Nanos = -1 }, "released"},
		{serviceKey, func(m proto.Message) { m.(*meshpb.Service).Request.Families = 257 }, "request.families (257) is out of range"},
		{importKey, func(m proto.Message) { m.(*meshpb.ServiceImport).Service.Weight = 65536 }, "service.weight (65536)"},
		{exportKey, func(m proto.Message) { m.(*meshpb.ServiceExport).Service = nil }, "service.namespace"},
		{exportKey, func(m proto.Message) { m.(*meshpb.ServiceExport).Service.Weight = 65536 }, "service.weight (65536)"},
		{exportKey, func(m proto.Message) { m.(*meshpb.ServiceExport).Families = 257 }, "families (257) is out of range"},
		{exportKey, func(m proto.Message) { m.(*meshpb.ServiceExport).Created.Nanos = -1 }, "created"},
		{ringKey, func(m proto.Message) { m.(*meshpb.Keyring).Use = 257 }, "use (257) is out of range"},
		{ringKey, func(m proto.Message) { m.(*meshpb.Keyring).Keys[0].Secret = make([]byte, 31) }, "keys[0].secret"},
		{routerKey, func(m proto.Message) { m.(*meshpb.BGPPeer).Port = 65715 }, "port (65715)"},
		{routerKey, func(m proto.Message) { m.(*meshpb.BGPPeer).Multihop = 257 }, "multihop (257)"},
		{routerKey, func(m proto.Message) { m.(*meshpb.BGPPeer).Families[0] = 256 }, "families"},
	} {
		m := samples()[c.key].message()
		c.change(m)
		value, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		_, err = DecodeAt(c.key, value)
		wantInvalid(t, c.want, err, c.key, c.want)
	}
}

func TestDecodeToleratesFieldsOfLaterVersions(t *testing.T) {
	for key, want := range samples() {
		value, err := Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		value = protowire.AppendTag(value, 1000, protowire.BytesType)
		value = protowire.AppendString(value, "from the future")
		got, err := DecodeAt(key, value)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v", key, got, err)
		}
	}
}

func TestDecodeRefusesWhatIsNoMessage(t *testing.T) {
	for key := range samples() {
		for _, value := range []string{"\xff", "\x0a\x05ab", "\x0a\x01\xff\x12"} {
			o, err := DecodeAt(key, []byte(value))
			if err == nil || !strings.Contains(err.Error(), key) {
				t.Errorf("%s: %q gives %+v, %v", key, value, o, err)
			}
		}
		if _, err := DecodeAt(key, make([]byte, MaxValueSize+1)); err == nil || !strings.Contains(err.Error(), "at most") {
			t.Errorf("%s: a value that is too long gives %v", key, err)
		}
	}
	if _, err := DecodeAt("tombolo/v1/export/none/x", nil); err == nil {
		t.Error("a key of no kind is decoded")
	}
	if _, err := Decode(Key{Area: Export, Kind: "none"}, nil); err == nil {
		t.Error("a key of no kind is decoded")
	}
}

func TestEncodeRefuses(t *testing.T) {
	var invalid *InvalidError
	if _, err := Encode(&Node{Name: "N"}); !errors.As(err, &invalid) || invalid.Subject != "nodes N" {
		t.Errorf("got %v, want an InvalidError of nodes N", err)
	}
	labels := map[string]string{}
	for i := range maxLabels {
		k := strings.Repeat("a.", 100) + "k" + string(rune('a'+i%26)) + "/" + strings.Repeat("x", 50) + strings.Repeat("y", i/26%13) + "z"
		labels[k] = strings.Repeat("v", 63)
	}
	a := BGPAdvertisement{Name: "a"}
	long := func(i int) string { return strings.Repeat("p.", 120) + string(rune('a'+i%26)) + string(rune('a'+i/26)) }
	a.Peers = repeat(maxValues, long)
	a.NodeSelector.MatchLabels, a.ServiceSelector.MatchLabels = labels, labels
	many := repeat(maxValues, func(int) string { return strings.Repeat("v", 63) })
	a.ServiceSelector.MatchExpressions = repeat(maxValues, func(int) Requirement { return Requirement{"k", OpIn, many} })
	if _, err := Encode(&a); err == nil || !strings.Contains(err.Error(), "of which a value has at most") {
		t.Errorf("a value that is too long gives %.200v", err)
	}
}

func TestKeyOf(t *testing.T) {
	for key, o := range samples() {
		k, err := ParseKey(key)
		if err != nil {
			t.Fatal(err)
		}
		got := KeyOf(k.Area, o)
		got.Cluster = k.Cluster
		if o.Kind() == KindSynced {
			got.Name = k.Name
		}
		if k.Kind == KindProcess {
			got.Area = Status
		}
		if got != k {
			t.Errorf("got %+v, want %+v", got, k)
		}
	}
}

// The peer's copy must say the name of the cluster that it mirrors.
func TestMirrorNamesItsCluster(t *testing.T) {
	east := samples()[clusterKey]
	if err := Validate(Key{Area: Mirror, Cluster: "east", Kind: KindCluster}, east); err != nil {
		t.Error(err)
	}
	err := Validate(Key{Area: Mirror, Cluster: "west", Kind: KindCluster}, east)
	wantInvalid(t, "another's name", err, "tombolo/v1/mirror/west/cluster", `must be that of the mirrored cluster, "west"`)
	err = Validate(Key{Area: Export, Kind: KindNodes, Name: "east"}, east)
	wantInvalid(t, "another kind", err, "tombolo/v1/export/nodes/east", `kind ("cluster") must be that of the key`)
	private := &Service{Name: ServiceName{"a", "b"}}
	if err := Validate(KeyOf(Private, private), private); err != nil {
		t.Error(err)
	}
	refused := samples()[stateKey].(*MirrorState)
	refused.Phase, refused.Cluster.Name = MirrorRefused, "other"
	if err := Validate(Key{Area: Mirror, Cluster: "east", Kind: KindState}, refused); err != nil {
		t.Errorf("a peer refused for its name cannot be shown: %v", err)
	}
}

// randomSlice is a well-formed slice of random contents.
func randomSlice(r *rand.Rand) *EndpointSlice {
	s := &EndpointSlice{Service: ServiceName{"ns", "svc"}, Name: "svc-1"}
	for i := range r.IntN(4) {
		s.Ports = append(s.Ports, EndpointPort{string(rune('a' + i)), []Protocol{TCP, UDP, SCTP}[r.IntN(3)], uint16(1 + r.IntN(65535))})
	}
	v6 := r.IntN(2) == 0
	for i := range r.IntN(MaxSliceEndpoints + 1) {
		a := netip.AddrFrom4([4]byte{10, byte(r.Uint32()), byte(r.Uint32()), byte(i)})
		if v6 {
			b := a.As4()
			a = netip.AddrFrom16([16]byte{0xfd, 12: b[0], 13: b[1], 14: b[2], 15: b[3]})
		}
		e := Endpoint{Address: a, Ready: r.IntN(2) == 0, Serving: r.IntN(2) == 0}
		e.Terminating = !e.Ready && r.IntN(2) == 0
		if r.IntN(2) == 0 {
			e.PodUID, e.Node, e.Zone = "uid", "node", "zone"
		}
		s.Endpoints = append(s.Endpoints, e)
	}
	return s
}

func randomService(r *rand.Rand) *Service {
	s := &Service{
		Name: ServiceName{"ns", "svc"}, Type: ServiceType(r.IntN(4)), Global: true, Shared: true,
		Affinity: Affinity(r.IntN(3)), Priority: uint8(r.Uint32()), Weight: uint16(r.Uint32()),
		SessionAffinity: time.Duration(r.IntN(2)*r.IntN(86401)) * time.Second, PublishNotReady: r.IntN(2) == 0,
		ExternalPolicy: TrafficPolicy(r.IntN(2)), InternalPolicy: TrafficPolicy(r.IntN(2)),
		Distribution: Distribution(r.IntN(3)), Overprovisioning: []uint16{0, 100, 140, 10000}[r.IntN(4)],
		SourceRanges: [][]netip.Prefix{nil, prefixes("10.0.0.0/8"), prefixes("::/0", "10.0.0.1/32")}[r.IntN(3)],
		ExternalIPs:  [][]netip.Addr{nil, addrs("192.0.2.80"), addrs("2001:db8:2::80", "192.0.2.81")}[r.IntN(3)],
		TableSize:    []uint32{0, 251, 1021, 131071}[r.IntN(4)], HealthCheckNodePort: uint16(r.IntN(2) * r.IntN(65536)),
		Outliers: []OutlierDetection{{}, DefaultOutlierDetection(), {1000, time.Second, 24 * time.Hour, 1}}[r.IntN(3)],
	}
	for i := range r.IntN(26) {
		if s.Labels == nil {
			s.Labels = map[string]string{}
		}
		s.Labels["k"+string(rune('a'+i))] = "v"
	}
	if r.IntN(2) == 0 {
		s.Created = time.Unix(r.Int64N(1<<33), 0).UTC()
	}
	return s
}

// What went through the codec is equal, and encodes to the same bytes,
// whatever the order in which a map happens to be walked.
func TestRandomRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		for _, want := range []Object{randomSlice(r), randomService(r)} {
			value, err := Encode(want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Decode(KeyOf(Export, want), value)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
			}
			again, err := Encode(got)
			if err != nil || !bytes.Equal(again, value) {
				t.Fatalf("%+v encodes to %x and to %x, %v", want, value, again, err)
			}
		}
	}
}

// Whatever Decode accepts, it accepts again in our own encoding, unchanged.
func FuzzDecode(f *testing.F) {
	keys := []string{}
	for key, o := range samples() {
		value, err := Encode(o)
		if err != nil {
			f.Fatal(err)
		}
		keys = append(keys, key)
		f.Add(key, value)
	}
	f.Add(keys[0], []byte{})
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		o, err := DecodeAt(key, value)
		if err != nil {
			return
		}
		again, err := Encode(o)
		if err != nil {
			t.Fatalf("%s: %+v is decoded and not encoded: %v", key, o, err)
		}
		if o2, err := DecodeAt(key, again); err != nil || !reflect.DeepEqual(o, o2) {
			t.Fatalf("%s: %+v becomes %+v, %v", key, o, o2, err)
		}
	})
}
