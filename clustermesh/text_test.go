package clustermesh

import (
	"encoding/json"
	"testing"
)

func TestWordsOfEnumerations(t *testing.T) {
	type all struct {
		P Protocol
		A Affinity
		T TrafficPolicy
		D Distribution
		S ServiceType
		F Family
		N ServiceName
	}
	for want, v := range map[string]all{
		`{"P":"TCP","A":"none","T":"Cluster","D":"Anywhere","S":"ClusterIP","F":"ipv4","N":"a/b"}`:           {P: TCP, N: ServiceName{"a", "b"}},
		`{"P":"SCTP","A":"remote","T":"Local","D":"PreferSameNode","S":"ExternalName","F":"ipv6","N":"a/b"}`: {SCTP, AffinityRemote, TrafficLocal, PreferSameNode, ExternalName, IPv6Unicast, ServiceName{"a", "b"}},
	} {
		b, err := json.Marshal(v)
		if err != nil || string(b) != want {
			t.Errorf("got %s, %v; want %s", b, err, want)
		}
		var back all
		if err := json.Unmarshal(b, &back); err != nil || back != v {
			t.Errorf("%s: got %+v, %v", b, back, err)
		}
	}
	if got := Protocol(47).String(); got != "47" {
		t.Errorf("a protocol without a word is %q", got)
	}
	for _, bad := range []string{`{"P":"tcp"}`, `{"A":"Local"}`, `{"T":""}`, `{"D":"PreferClose"}`, `{"S":"0"}`, `{"F":"ipv5"}`, `{"N":"a"}`, `{"N":"a/b/c"}`, `{"N":"A/b"}`} {
		var v all
		if err := json.Unmarshal([]byte(bad), &v); err == nil {
			t.Errorf("%s: got %+v, want an error", bad, v)
		}
	}
}
