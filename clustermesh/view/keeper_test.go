package view

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
)

// What happens in a second, by words: told and untold are a cluster that has a lease
// while it is kept, and one of an older version; held, gone and odd are the lease; away is
// the store out of reach, since that second or an earlier one; held@ and reign@ are of a
// reign of the store.
func TestKeeper(t *testing.T) {
	for _, c := range []struct{ seconds, stale string }{
		{"- told,held - -", "- - - -"},
		{"untold - gone", "- - -"},
		{"told,held gone - held", "- 1 1 -"},
		{"told - held", "0 0 -"},             // its leader did not store everything yet
		{"told,held gone untold", "- 1 -"},   // an older version took over
		{"untold told", "- 1"},               // a younger one will hold it
		{"told,odd - gone", "- - 2"},         // a lease of a younger version is one
		{"told,held away=1 - -", "- 1? - -"}, // out of reach is another matter
		{"told,held gone away=2", "- 1 1?"},  // stale for longer than out of reach
		{"told,held away=1 gone,away=1", "- 1? 1?"},
		{"held told", "- -"},
		{"told,held@1,reign@1 away=1,reign@1 reign@1", "- 1? -"},                            // the same reign: it would be gone
		{"told,held@1,reign@1 away=1,reign@1 reign@2 reign@2,gone", "- 1? 1 1"},             // a dead one's, in a store that restarted
		{"told,held@1,reign@1 away=1,reign@1 away=1,reign@2 reign@2 held@2", "- 1? 1? 1 -"}, // of one who lives
		{"told,held@1,reign@1 away=1,reign@1 held@1,away=1,reign@2 reign@2", "- 1? 1? 1"},   // what was missed is from before
		{"told,held@1,reign@2 reign@2 held@2,reign@2", "0 0 -"},                             // seen first after a restart
		{"told,held@1,reign@1 held@2,reign@1", "- -"},                                       // another leads, and nobody was away
		{"told,held,reign@1 away=1,reign@1 reign@2", "- 1? -"},                              // an older version does not say
	} {
		t.Run(c.seconds, func(t *testing.T) {
			var k Keeper
			var got []string
			for i, words := range strings.Fields(c.seconds) {
				b := keeperBatch(words)
				k.Follow(&b, second(i))
				got = append(got, saySince(b))
			}
			if s := strings.Join(got, " "); s != c.stale {
				t.Errorf("stale since %s, want %s", s, c.stale)
			}
		})
	}
}

var errAway = errors.New("no answer")

func second(n int) time.Time { return time.Unix(int64(1000+n), 0) }

func keeperBatch(words string) (b Batch) {
	add := func(op etcd.Op, key string, o clustermesh.Object) {
		b.Events = append(b.Events, etcd.Event[clustermesh.Object]{Op: op, Key: key, Value: o})
	}
	for _, w := range strings.Split(words, ",") {
		switch w {
		case "told":
			add(etcd.Put, clusterKey, &clustermesh.Cluster{Name: "east", ID: 1, Capabilities: []string{clustermesh.CapabilityLease}})
		case "untold":
			add(etcd.Put, clusterKey, &clustermesh.Cluster{Name: "east", ID: 1})
		case "held":
			add(etcd.Put, leaseKey, &clustermesh.Lease{Holder: "n1"})
		case "odd":
			add(etcd.Invalid, leaseKey, nil)
		case "gone":
			add(etcd.Delete, leaseKey, nil)
		case "-":
		default:
			var n int
			switch what, number, _ := strings.Cut(strings.Replace(w, "=", "@", 1), "@"); what {
			case "held":
				fmt.Sscan(number, &n)
				add(etcd.Put, leaseKey, &clustermesh.Lease{Holder: "n1", Reign: uint64(n)})
			case "reign":
				fmt.Sscan(number, &b.Reign)
			case "away":
				fmt.Sscan(number, &n)
				b.Stale, b.Err = second(n), errAway
			}
		}
	}
	return b
}

// saySince says since which second a batch is stale; with ? because the store is away.
func saySince(b Batch) string {
	switch {
	case b.Stale.IsZero():
		return "-"
	case errors.Is(b.Err, ErrUnkept):
		return fmt.Sprint(b.Stale.Unix() - 1000)
	}
	return fmt.Sprintf("%d?", b.Stale.Unix()-1000)
}
