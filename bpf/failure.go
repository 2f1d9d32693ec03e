package bpf

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"github.com/cilium/ebpf/ringbuf"
)

// Failure is a connection to a backend that failed, of a service that wants to
// know. The backend is named by what it was; its number may be another's by now.
type Failure struct {
	Service uint32
	Cluster uint16
	Address netip.AddrPort
	Cause   FailureCause
	// InARow counts the failures without a success between them, those by Reset
	// on their own.
	InARow uint32
}

// FailureCause is how a connection fails.
type FailureCause uint8

// The causes.
const (
	// Refused: the answer to the SYN was a reset.
	Refused = FailureCause(mapsFailureCauseFAILURE_REFUSED)
	// Silent: there was no answer when the first SYN was sent again, after a second.
	Silent = FailureCause(mapsFailureCauseFAILURE_SILENT)
	// Reset: it opened, and was reset before a byte came.
	Reset = FailureCause(mapsFailureCauseFAILURE_RESET)
)

// String returns the cause in a word.
func (c FailureCause) String() string {
	switch c {
	case Refused:
		return "refused"
	case Silent:
		return "silent"
	case Reset:
		return "reset"
	}
	return fmt.Sprintf("cause %d", uint8(c))
}

// Failures are told by the kernel from the moment when Datapath.Failures was
// called. Of long runs not all are, and where nobody reads, the kernel counts and
// forgets them.
type Failures struct{ ring *ringbuf.Reader }

// Failures begins to listen to failures. What was told before is old and left
// out. Close it before the Datapath.
func (d *Datapath) Failures() (*Failures, error) {
	ring, err := ringbuf.NewReader(d.maps[mapsMapFailures])
	if err != nil {
		return nil, fmt.Errorf("reading map %q: %w", mapsMapFailures, err)
	}
	f := &Failures{ring}
	if _, err := f.rest(nil); err != nil {
		return nil, errors.Join(err, ring.Close())
	}
	return f, nil
}

// Read waits for failures and returns all there are. After Close it returns
// os.ErrClosed.
func (f *Failures) Read() ([]Failure, error) {
	f.ring.SetDeadline(time.Time{})
	record, err := f.ring.Read()
	if err != nil {
		return nil, fmt.Errorf("reading map %q: %w", mapsMapFailures, err)
	}
	return f.rest(appendFailure(nil, record))
}

// mostFailures is more than the ring can hold.
const mostFailures = 1 << 12

// rest appends what is there without a wait.
func (f *Failures) rest(all []Failure) ([]Failure, error) {
	f.ring.SetDeadline(time.Unix(1, 0))
	for len(all) < mostFailures {
		record, err := f.ring.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading map %q: %w", mapsMapFailures, err)
		}
		all = appendFailure(all, record)
	}
	return all, nil
}

func appendFailure(all []Failure, r ringbuf.Record) []Failure {
	var c mapsFailure
	raw := (*[unsafe.Sizeof(c)]byte)(unsafe.Pointer(&c))[:]
	if copy(raw, r.RawSample) < len(raw) {
		return all // the program of another version wrote it
	}
	return append(all, Failure{
		Service: c.Service, Cluster: c.Cluster, Cause: FailureCause(c.Cause), InARow: c.Run,
		Address: netip.AddrPortFrom(addr(c.Address.Word), networkOrder(c.Port)),
	})
}

// Close ends a Read that waits.
func (f *Failures) Close() error { return f.ring.Close() }
