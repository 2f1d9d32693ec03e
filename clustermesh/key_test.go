package clustermesh

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestParseKey(t *testing.T) {
	for s, want := range map[string]Key{
		"tombolo/v1/export/cluster":                     {Export, "", KindCluster, ""},
		"tombolo/v1/export/lease":                       {Export, "", KindLease, ""},
		"tombolo/v1/mirror/west/cluster":                {Mirror, "west", KindCluster, ""},
		"tombolo/v1/mirror/west/state":                  {Mirror, "west", KindState, ""},
		"tombolo/v1/private/services/shop/cart":         {Private, "", KindServices, "shop/cart"},
		"tombolo/v1/mirror/west/slices/shop/cart/a.b":   {Mirror, "west", KindSlices, "shop/cart/a.b"},
		"tombolo/v1/export/endpoints/fd00::1":           {Export, "", KindEndpoints, "fd00::1"},
		"tombolo/v1/export/drains/node/n1":              {Export, "", KindDrains, "node/n1"},
		"tombolo/v1/mirror/west/drains/service/a/b":     {Mirror, "west", KindDrains, "service/a/b"},
		"tombolo/v1/private/pools/a.b":                  {Private, "", KindPools, "a.b"},
		"tombolo/v1/mirror/west/addresses/fd00::1":      {Mirror, "west", KindAddresses, "fd00::1"},
		"tombolo/v1/private/gossip":                     {Private, "", KindGossip, ""},
		"tombolo/v1/private/origin":                     {Private, "", KindOrigin, ""},
		"tombolo/v1/private/bgp/peers/tor":              {Private, "", KindBGPPeers, "tor"},
		"tombolo/v1/private/bgp/advertisements/x":       {Private, "", KindBGPAdverts, "x"},
		"tombolo/v1/private/synced/bgp/peers":           {Private, "", KindSynced, "bgp/peers"},
		"tombolo/v1/mirror/west/synced/slices":          {Mirror, "west", KindSynced, "slices"},
		"tombolo/v1/status/agent/n1":                    {Status, "", KindProcess, "agent/n1"},
		"tombolo/v1/status/check/asked/x1":              {Status, "", KindAsked, "x1"},
		"tombolo/v1/status/check/answers/n1":            {Status, "", KindAnswers, "n1"},
		"tombolo/v1/mirror/synced/services/synced/peer": {Mirror, "synced", KindServices, "synced/peer"},
	} {
		got, err := ParseKey(s)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", s, got, err, want)
		}
		if got.String() != s {
			t.Errorf("%s: String gives %s", s, got)
		}
	}
}

func TestParseKeyRefuses(t *testing.T) {
	for s, want := range map[string]string{
		"":                                         "does not begin",
		"tombolo/v2/export/cluster":                "does not begin",
		EpochKey:                                   "no known area",
		"tombolo/v1/exports/cluster":               "no known area",
		"tombolo/v1/export":                        "no known kind",
		"tombolo/v1/export/pods/a/b":               "no known kind",
		"tombolo/v1/export/bgp":                    "no known kind",
		"tombolo/v1/private/drains/node/n1":        "no known kind",
		"tombolo/v1/export/drains/node":            "has 1 names after its kind, want 2",
		"tombolo/v1/export/drains/service/a":       "has 2 names after its kind, want 3",
		"tombolo/v1/export/gossip":                 "no known kind",
		"tombolo/v1/export/pools/a":                "no known kind",
		"tombolo/v1/mirror/west/gossip":            "no known kind",
		"tombolo/v1/export/peers/west":             "no known kind",
		"tombolo/v1/export/check/asked/x1":         "no known kind",
		"tombolo/v1/status/check/asked":            "has an empty name",
		"tombolo/v1/mirror/west/bgp/peers/tor":     "no known kind",
		"tombolo/v1/export/state":                  "no known kind",
		"tombolo/v1/private/cluster":               "no known kind",
		"tombolo/v1/mirror/West/cluster":           "names no cluster",
		"tombolo/v1/mirror//cluster":               "names no cluster",
		"tombolo/v1/mirror":                        "names no cluster",
		"tombolo/v1/export/cluster/":               "not in the form",
		"tombolo/v1/export/cluster/x":              "has 1 names after its kind, want 0",
		"tombolo/v1/export/services/shop":          "has 1 names after its kind, want 2",
		"tombolo/v1/export/services/shop/cart/x":   "has 3 names after its kind, want 2",
		"tombolo/v1/export/services/shop/":         "has an empty name",
		"tombolo/v1/export/services//cart":         "has an empty name",
		"tombolo/v1/export/services":               "has an empty name",
		"tombolo/v1/status/agent":                  "has 1 names after its kind, want 2",
		"tombolo/v1/export/synced/cluster":         "marks no known table",
		"tombolo/v1/export/synced/peers":           "marks no known table",
		"tombolo/v1/export/synced/synced/services": "marks no known table",
		"tombolo/v1/export/synced":                 "marks no known table",
	} {
		_, err := ParseKey(s)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), fmt.Sprintf("%q", s)) {
			t.Errorf("%q: got %v, want it to say %q", s, err, want)
		}
	}
}

func TestMarkers(t *testing.T) {
	for key, want := range map[string]string{
		"tombolo/v1/export/services/shop/cart": "tombolo/v1/export/synced/services",
		"tombolo/v1/mirror/west/nodes/n1":      "tombolo/v1/mirror/west/synced/nodes",
		"tombolo/v1/private/bgp/peers/tor":     "tombolo/v1/private/synced/bgp/peers",
		"tombolo/v1/export/cluster":            "",
		"tombolo/v1/mirror/west/state":         "",
		"tombolo/v1/export/synced/services":    "",
		"tombolo/v1/status/agent/n1":           "",
		EpochKey:                               "",
		"nonsense":                             "",
	} {
		if got, ok := MarkerAt(key); ok != (want != "") || ok && got != want {
			t.Errorf("%s: got %q, %v; want %q", key, got, ok, want)
		}
	}
}

func TestMarkerEpoch(t *testing.T) {
	value, err := Encode(&Synced{Source: "s", Epoch: "e1", Count: 1})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := MarkerEpoch(value); err != nil || got != "e1" {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := MarkerEpoch([]byte{0xff}); err == nil {
		t.Errorf("got %q of what is no marker", got)
	}
}

func TestTables(t *testing.T) {
	want := []Kind{KindAddresses, KindDrains, KindEndpoints, KindExports, KindIdentities, KindNodes, KindServices, KindSlices}
	if got := Tables(Export); !slices.Equal(got, want) {
		t.Errorf("export: got %v, want %v", got, want)
	}
	if got := Tables(Mirror); !slices.Equal(got, want) {
		t.Errorf("mirror: got %v, want %v", got, want)
	}
	if got := Tables(Status); len(got) != 0 {
		t.Errorf("status: got %v", got)
	}
	for _, k := range Tables(Private) {
		key := Key{Area: Private, Kind: k}
		if !strings.HasPrefix(key.Prefix(), Root+"private/") || !strings.HasSuffix(key.Prefix(), "/") {
			t.Errorf("prefix of %s is %q", k, key.Prefix())
		}
	}
}

func FuzzParseKey(f *testing.F) {
	for key := range samples() {
		f.Add(key)
	}
	f.Add(EpochKey)
	f.Add("tombolo/v1/export/cluster/")
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ParseKey(s)
		if err != nil {
			return
		}
		if k.String() != s {
			t.Errorf("%q becomes %q", s, k)
		}
		if m, ok := k.Marker(); ok {
			if again, err := ParseKey(m.String()); err != nil || again != m {
				t.Errorf("marker %q of %q: %+v, %v", m, s, again, err)
			}
		}
	})
}
