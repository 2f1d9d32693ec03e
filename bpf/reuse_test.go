package bpf

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Two services trade their frontends' numbers, extents and backend numbers all
// the time, with a grace period in between as the rules ask. Clients that run
// meanwhile reach their own service, and are never refused.
func TestReuse(t *testing.T) {
	w := newWorld(t)
	frontends := []Frontend{tcp("10.96.0.1:80"), tcp("10.96.0.2:80")}
	at := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:8001"), netip.MustParseAddrPort("127.0.0.1:8002")}
	tr := &trader{w: w, frontends: frontends, at: at, number: []uint32{1, 2}}
	for i := range frontends {
		tr.write(t, i, tr.number[i])
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var clients sync.WaitGroup
	for i, f := range frontends {
		place := w.NewPlace(t)
		for j, a := range at {
			place.Serve(t, a, fmt.Sprint(j))
		}
		clients.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if err := askOnce(place, f, fmt.Sprint(i)); err != nil {
					t.Errorf("connection %d to service %d: %v", n, i, err)
					return
				}
			}
		})
	}
	trades := 0
	for ; ctx.Err() == nil; trades++ {
		tr.trade(t)
	}
	clients.Wait()
	if c := w.counters(t); trades < 5 || c.Stale+c.OtherKey+c.Refused+c.Panic > 0 {
		t.Errorf("%d trades, counters %+v", trades, c)
	}
}

// trader moves two services between three places, each of them a service
// number, an extent and a backend number.
type trader struct {
	w         *world
	frontends []Frontend
	at        []netip.AddrPort
	number    []uint32 // the place of each service
}

// write makes service i live at a place that nobody uses.
func (tr *trader) write(t *testing.T, i int, place uint32) {
	w := tr.w
	w.Backends.Write(place, Backend{Service: place, Address: tr.at[i], Protocol: unix.IPPROTO_TCP, State: Active})
	slots := make([]uint32, table)
	for s := range slots {
		slots[s] = place
	}
	w.Slots.Write(place*table, slots)
	w.Services.Write(place, Service{Primary: Extent{Offset: place * table, Size: table}})
	if err := w.Frontends.Put(map[Frontend]uint32{tr.frontends[i]: place}); err != nil {
		t.Fatal(err)
	}
	tr.number[i] = place
}

// trade moves each service to the place that is free, and frees its own: what
// no table leads to is set free after one grace period, and written again after
// another.
func (tr *trader) trade(t *testing.T) {
	for i := range tr.number {
		old := tr.number[i]
		tr.write(t, i, 1+2+3-tr.number[0]-tr.number[1])
		tr.grace(t)
		tr.w.Services.Write(old, Service{})
		tr.w.Backends.SetState(old, Free)
		tr.grace(t)
	}
}

func (tr *trader) grace(t *testing.T) {
	if err := tr.w.Grace(); err != nil {
		t.Fatal(err)
	}
}
