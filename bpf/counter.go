package bpf

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// Counters is what the programs counted since the maps were made, over all CPUs.
type Counters struct {
	// Selected, Rehashed and Backup are selections from a table: at the first
	// attempt, past a backend that was down, from the backup table.
	Selected, Rehashed, Backup uint64
	// Affinity and Sticky are clients that were led to the backend they had: by
	// session affinity, and as an unconnected UDP socket.
	Affinity, Sticky uint64
	// Panic counts selections of a backend although all that were tried are down.
	Panic uint64
	// Refused counts clients of a frontend without a backend, or that keeps them out.
	Refused uint64
	// Stale counts slots that led to a backend of another service, or to none,
	// and were passed over. It should stand still.
	Stale uint64
	// OtherKey counts frontend entries that held another key. It should be 0.
	OtherKey uint64
	// Spilled counts sockets that found no room in the map of sockets; what is
	// to be known of them lies in their own storage.
	Spilled uint64
	// Unnoted counts sockets for which the kernel had no memory there: they are
	// connected, and getpeername shows their backend.
	Unnoted uint64
	// OutOfMemory counts datagrams refused because the kernel had no memory to
	// keep to whom they went: their answer would come from a stranger.
	OutOfMemory uint64
	// FailedRefused, FailedSilent and FailedReset count connections to backends of
	// services with Outliers that failed, by FailureCause; FailuresLost those that
	// nobody was told of, because nobody read.
	FailedRefused, FailedSilent, FailedReset, FailuresLost uint64
}

func readCounters(m *ebpf.Map) (Counters, error) {
	var c Counters
	for which, field := range map[mapsCounter]*uint64{
		mapsCounterCOUNTER_SELECTED:      &c.Selected,
		mapsCounterCOUNTER_AFFINITY:      &c.Affinity,
		mapsCounterCOUNTER_STICKY:        &c.Sticky,
		mapsCounterCOUNTER_REHASHED:      &c.Rehashed,
		mapsCounterCOUNTER_BACKUP:        &c.Backup,
		mapsCounterCOUNTER_PANIC:         &c.Panic,
		mapsCounterCOUNTER_REFUSED:       &c.Refused,
		mapsCounterCOUNTER_STALE:         &c.Stale,
		mapsCounterCOUNTER_OTHER_KEY:     &c.OtherKey,
		mapsCounterCOUNTER_SPILLED:       &c.Spilled,
		mapsCounterCOUNTER_UNNOTED:       &c.Unnoted,
		mapsCounterCOUNTER_OUT_OF_MEMORY: &c.OutOfMemory,

		mapsCounterCOUNTER_FAILED_REFUSED: &c.FailedRefused,
		mapsCounterCOUNTER_FAILED_SILENT:  &c.FailedSilent,
		mapsCounterCOUNTER_FAILED_RESET:   &c.FailedReset,
		mapsCounterCOUNTER_FAILURES_LOST:  &c.FailuresLost,
	} {
		n, err := sumPerCPU(m, uint32(which))
		if err != nil {
			return Counters{}, err
		}
		*field = n
	}
	return c, nil
}

// sumPerCPU returns one counter over all CPUs.
func sumPerCPU(m *ebpf.Map, which uint32) (sum uint64, err error) {
	var perCPU []uint64
	if err := m.Lookup(which, &perCPU); err != nil {
		return 0, fmt.Errorf("reading counter %d: %w", which, err)
	}
	for _, n := range perCPU {
		sum += n
	}
	return sum, nil
}
