package bgp

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/bgp/advertise"
	"tombolo.io/tombolo/clustermesh"
)

func somePicture() saved {
	return saved{Version: savedVersion, Node: "n1", ID: netip.MustParseAddr("10.0.0.1"), Routers: []router{{
		Peer: clustermesh.BGPPeer{Name: "tor", Address: netip.MustParseAddr("10.0.0.254"), ASN: 64512, LocalASN: 64513, HoldTime: 9 * time.Second},
		Paths: []advertise.Path{{
			Prefix: netip.MustParsePrefix("10.1.1.0/24"), NextHop: netip.MustParseAddr("10.0.0.1"), LocalPref: 7,
			Communities: []clustermesh.Community{{Standard: 65000<<16 | 1}, {Large: true, Global: 1, Local1: 2, Local2: 3}},
			Origin:      advertise.Origin{Service: clustermesh.ServiceName{Namespace: "d", Name: "web"}, Advertisements: []string{"all"}},
		}, {
			Prefix: netip.MustParsePrefix("fd01:1::/64"), NextHop: netip.MustParseAddr("fd00::1"), // for pods: of no service
			Origin: advertise.Origin{Advertisements: []string{"all"}},
		}},
	}}}
}

func TestSavedPictureComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "paths.json")
	if got, err := load(path, "n1"); got.Routers != nil || err != nil {
		t.Fatalf("without a file: %v, %v", got, err)
	}
	want := somePicture()
	for range 2 { // the second replaces the first
		if err := want.store(path); err != nil {
			t.Fatal(err)
		}
	}
	got, err := load(path, "n1")
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("%d files are left, want 1", len(left))
	}
}

func TestDamagedPictureIsRefused(t *testing.T) {
	for name, row := range map[string]struct{ text, why string }{
		"cut off":        {`{"Version":1,"Node":"n1","Rou`, "unexpected end"},
		"another form":   {`{"Version":2,"Node":"n1"}`, "version 2"},
		"another node":   {`{"Version":1,"Node":"n2"}`, `"n2"`},
		"no identifier":  {`{"Version":1,"Node":"n1"}`, "identifier"},
		"no address":     {`{"Version":1,"Node":"n1","ID":"10.0.0.1","Routers":[{"Peer":{"Name":"tor"}}]}`, "no name or address"},
		"no next hop":    {`{"Version":1,"Node":"n1","ID":"10.0.0.1","Routers":[{"Peer":{"Name":"tor","Address":"10.0.0.254"},"Paths":[{"Prefix":"10.1.0.0/24"}]}]}`, "10.1.0.0/24"},
		"mixed families": {`{"Version":1,"Node":"n1","ID":"10.0.0.1","Routers":[{"Peer":{"Name":"tor","Address":"10.0.0.254"},"Paths":[{"Prefix":"10.1.0.0/24","NextHop":"fd00::1"}]}]}`, "fd00::1"},
	} {
		path := filepath.Join(t.TempDir(), "paths.json")
		if err := os.WriteFile(path, []byte(row.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := load(path, "n1"); got.Routers != nil || err == nil || !strings.Contains(err.Error(), row.why) {
			t.Errorf("%s: got %v, %v; want an error with %q", name, got, err, row.why)
		}
	}
}
