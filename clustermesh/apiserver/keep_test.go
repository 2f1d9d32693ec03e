package apiserver

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/ipam"
)

// held are addresses by key, from "198.51.100.5=web@100": held by a service since a
// time in seconds.
func held(pairs ...string) map[string]*clustermesh.Address {
	out := map[string]*clustermesh.Address{}
	for _, p := range pairs {
		p, at, _ := strings.Cut(p, "@")
		ip, name, _ := strings.Cut(p, "=")
		since, err := time.ParseDuration(at + "s")
		if err != nil {
			panic(err)
		}
		a := &clustermesh.Address{Address: netip.MustParseAddr(ip), Pool: "public", Claims: []clustermesh.AddressClaim{
			{Service: balancer(name).Name, Since: time.Unix(0, 0).Add(since), Holds: true},
		}}
		out[clustermesh.KeyOf(clustermesh.Private, a).String()] = a
	}
	return out
}

// What a restored store says of addresses yields to what is remembered from later,
// and what is remembered to a store that knows more.
func TestRecallAddresses(t *testing.T) {
	for _, c := range []struct {
		name               string
		lost               bool
		stored, remembered map[string]*clustermesh.Address
		want               string // of web and api
	}{
		{"restored: it went to another service", true, held("198.51.100.5=old@100"), held("198.51.100.5=web@200"), "198.51.100.5 198.51.100.0"},
		{"restored: to one that lives", true, held("198.51.100.5=web@100"), held("198.51.100.7=web@150", "198.51.100.5=api@200"), "198.51.100.7 198.51.100.5"},
		{"restored: a service has another one", true, held("198.51.100.5=web@100"), held("198.51.100.7=web@200"), "198.51.100.7 198.51.100.0"},
		{"restored: of others the store alone knows", true, held("198.51.100.5=web@100"), held("198.51.100.7=api@200"), "198.51.100.5 198.51.100.7"},
		{"empty", true, nil, held("198.51.100.7=web@200"), "198.51.100.7 198.51.100.0"},
		{"nothing is remembered", true, held("198.51.100.5=web@100"), nil, "198.51.100.5 198.51.100.0"},
		{"the memory is older than the store", true, held("198.51.100.5=web@200"), held("198.51.100.5=api@100"), "198.51.100.5 198.51.100.0"},
		{"the store knows all", false, held("198.51.100.5=web@100"), held("198.51.100.5=api@200"), "198.51.100.5 198.51.100.0"},
	} {
		a := newAddresses(AddressConfig{Classless: true, Rest: time.Minute}, census{})
		for key, o := range c.stored {
			a.learn(key, o)
		}
		if a.lost = c.lost; c.lost {
			a.alloc.Lost()
		}
		a.recall(c.remembered)
		now := time.Unix(1000, 0)
		a.alloc.SetPools([]*clustermesh.Pool{testPool("198.51.100.0/24")})
		for _, s := range []*clustermesh.Service{balancer("web"), balancer("api")} {
			a.alloc.Set(ipam.Service{Name: s.Name, Request: clustermesh.AddressRequest{Families: clustermesh.IPv4}})
		}
		a.alloc.Delete(balancer("old").Name, now)
		a.alloc.Settle(now)
		var got []string
		for _, name := range []string{"web", "api"} {
			o, _ := a.alloc.Outcome(balancer(name).Name)
			for _, ip := range o.Addresses() {
				got = append(got, ip.String())
			}
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// The store goes back to when another service had the address.
func TestAddressesOutliveARestore(t *testing.T) {
	r := newRig(t)
	r.write("pool.yaml", poolYAML("public", "198.51.100.0/24", ""))
	r.write("old.yaml", balancerYAML("old", "", ""))
	s := r.serve("n1", func(c *Config) { byHand(c); c.Addresses.Rest = time.Second })
	r.gets("old has the first", "old=198.51.100.0")
	back := r.store.Copy()
	r.remove("old.yaml")
	r.write("web.yaml", balancerYAML("web", named("198.51.100.0"), ""))
	r.gets("web has it after a rest", "web=198.51.100.0")
	r.write("web.yaml", balancerYAML("web", "", ""))
	r.until("and keeps it", func() bool { return !r.address("private/addresses/198.51.100.0").Claims[0].Named })
	before := string(r.have["epoch"])
	back()
	r.until("there is a new epoch", func() bool { return string(r.have["epoch"]) != before })
	r.well(s)
	r.gets("web has what it had", "web=198.51.100.0")
}
