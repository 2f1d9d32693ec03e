package clustermesh

import (
	"fmt"
	"strconv"
)

// The words of the enumerations, by value; they are what people read and what
// JSON holds.
var (
	protocolWords     = map[Protocol]string{TCP: "TCP", UDP: "UDP", SCTP: "SCTP"}
	affinityWords     = map[Affinity]string{AffinityNone: "none", AffinityLocal: "local", AffinityRemote: "remote"}
	policyWords       = map[TrafficPolicy]string{TrafficCluster: "Cluster", TrafficLocal: "Local"}
	distributionWords = map[Distribution]string{
		Anywhere: "Anywhere", PreferSameZone: "PreferSameZone", PreferSameNode: "PreferSameNode",
	}
	typeWords = map[ServiceType]string{
		ClusterIP: "ClusterIP", NodePort: "NodePort", LoadBalancer: "LoadBalancer", ExternalName: "ExternalName",
	}
	familyWords = map[Family]string{IPv4Unicast: "ipv4", IPv6Unicast: "ipv6"}
)

// word returns the word of a value, or its number when it has none.
func word[T ~uint8](words map[T]string, v T) string {
	if w, ok := words[v]; ok {
		return w
	}
	return strconv.Itoa(int(v))
}

// unword is the inverse of word, for values that have a word.
func unword[T ~uint8](words map[T]string, text []byte, v *T) error {
	for k, w := range words {
		if w == string(text) {
			*v = k
			return nil
		}
	}
	return fmt.Errorf("reading %T: no value is called %q", *v, text)
}

// String returns TCP, UDP or SCTP.
func (p Protocol) String() string { return word(protocolWords, p) }

// MarshalText returns what String does.
func (p Protocol) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (p *Protocol) UnmarshalText(b []byte) error { return unword(protocolWords, b, p) }

// String returns none, local or remote, as in the annotation.
func (a Affinity) String() string { return word(affinityWords, a) }

// MarshalText returns what String does.
func (a Affinity) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (a *Affinity) UnmarshalText(b []byte) error { return unword(affinityWords, b, a) }

// String returns Anywhere, PreferSameZone or PreferSameNode.
func (d Distribution) String() string { return word(distributionWords, d) }

// MarshalText returns what String does.
func (d Distribution) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (d *Distribution) UnmarshalText(b []byte) error { return unword(distributionWords, b, d) }

// String returns Cluster or Local, as Kubernetes does.
func (p TrafficPolicy) String() string { return word(policyWords, p) }

// MarshalText returns what String does.
func (p TrafficPolicy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (p *TrafficPolicy) UnmarshalText(b []byte) error { return unword(policyWords, b, p) }

// String returns Kubernetes' name of the type.
func (t ServiceType) String() string { return word(typeWords, t) }

// MarshalText returns what String does.
func (t ServiceType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (t *ServiceType) UnmarshalText(b []byte) error { return unword(typeWords, b, t) }

// String returns ipv4 or ipv6.
func (f Family) String() string { return word(familyWords, f) }

// MarshalText returns what String does.
func (f Family) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (f *Family) UnmarshalText(b []byte) error { return unword(familyWords, b, f) }

// MarshalText returns namespace/name.
func (n ServiceName) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText reads namespace/name.
func (n *ServiceName) UnmarshalText(b []byte) error {
	name, err := ParseServiceName(string(b))
	if err == nil {
		*n = name
	}
	return err
}
