package bpf

import (
	"time"
	"unsafe"
)

// Extent is where a table lies in Slots; Size 0 is no table.
type Extent struct {
	Offset, Size uint32
}

// word is the extent as programs load it, at once.
func (e Extent) word() uint64 { return uint64(e.Size)<<32 | uint64(e.Offset) }

func extentOf(word uint64) Extent { return Extent{Offset: uint32(word), Size: uint32(word >> 32)} }

// Service is what a number in a frontend leads to.
type Service struct {
	// Primary is asked first, Backup when nothing of Primary serves.
	Primary, Backup Extent
	// Affinity keeps a client with its backend for this long after it last
	// connected, in whole seconds; zero is off.
	Affinity time.Duration
	// Outliers: connections to its backends that fail are counted and told.
	Outliers bool
	// Drops: packets from outside that it has no backend for are dropped, and not
	// refused.
	Drops bool
	// Guard says whom it keeps out.
	Guard Guard
	// Owner is a number of the caller's by which it knows its own entries again
	// after a restart; 0 is nobody's.
	Owner uint64
}

// Services is the array of services, in memory that the programs read. Numbers
// are 1 to Len-1; one out of range panics, as an index does.
type Services struct{ mem memory }

const serviceWords = uint32(unsafe.Sizeof(mapsService{}) / 8)

// Len returns how many there is room for; number 0 is never used.
func (s *Services) Len() uint32 { return uint32(len(s.mem.words)) / serviceWords }

// Read returns service n as it is now.
func (s *Services) Read(n uint32) Service {
	at := n * serviceWords
	service := Service{Primary: extentOf(s.mem.load(at)), Backup: extentOf(s.mem.load(at + 1)), Owner: s.mem.load(at + 3)}
	settings := s.mem.load(at + 2)
	if settings&affinityFlag != 0 {
		service.Affinity = time.Duration(settings>>32) * time.Second
	}
	service.Outliers, service.Drops = settings&outliersFlag != 0, settings&dropsFlag != 0
	service.Guard = Guard{Packets: settings&rangesFlag != 0, Pods: settings&noPodsFlag != 0, Node: settings&noNodeFlag != 0}
	return service
}

// Write stores service n. Each table is replaced at once, so a program uses
// the old or the new one; the old extents are free after a grace period.
func (s *Services) Write(n uint32, service Service) {
	at := n * serviceWords
	s.mem.store(at+3, service.Owner)
	s.mem.store(at+2, service.settings())
	s.mem.store(at+1, service.Backup.word())
	s.mem.store(at, service.Primary.word())
}

const (
	affinityFlag = uint64(mapsServiceFlagsSERVICE_AFFINITY)
	outliersFlag = uint64(mapsServiceFlagsSERVICE_OUTLIERS)
	dropsFlag    = uint64(mapsServiceFlagsSERVICE_DROPS)
	rangesFlag   = uint64(mapsServiceFlagsSERVICE_RANGES)
	noPodsFlag   = uint64(mapsServiceFlagsSERVICE_NO_PODS)
	noNodeFlag   = uint64(mapsServiceFlagsSERVICE_NO_NODE)
)

// settings returns the word of that name.
func (s Service) settings() (word uint64) {
	if s.Affinity > 0 {
		seconds := min((s.Affinity+time.Second-1)/time.Second, 1<<31)
		word = uint64(seconds)<<32 | affinityFlag
	}
	for _, f := range [...]struct {
		is   bool
		flag uint64
	}{
		{s.Outliers, outliersFlag}, {s.Drops, dropsFlag},
		{s.Guard.Packets, rangesFlag}, {s.Guard.Pods, noPodsFlag}, {s.Guard.Node, noNodeFlag},
	} {
		if f.is {
			word |= f.flag
		}
	}
	return word
}
