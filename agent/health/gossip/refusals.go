package gossip

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"
)

// reason is why something that arrived was not taken.
type reason int

// The reasons.
const (
	stranger  reason = iota // from an address that is no member's
	foreign                 // of another cluster's pool
	key                     // encrypted with none of our keys, or not at all
	malformed               // not what a member sends
	unlisted                // about or from a member that the cluster does not have there
	overflow                // more than is taken in at a time
	reasons
)

// String returns the reason as metrics and people have it.
func (r reason) String() string {
	return [...]string{"stranger", "foreign", "key", "malformed", "unlisted", "overflow"}[r]
}

// quiet is for how long a reason that was logged is not logged again.
const quiet = 10 * time.Minute

// refusals count what was refused, and tell each reason now and then: whoever sends
// garbage must not fill the log with it. memberlist writes its log here, since it
// tells what it refuses nowhere else.
type refusals struct {
	log    *slog.Logger
	count  [reasons]atomic.Uint64
	logged [reasons]atomic.Int64 // UnixNano
}

// note counts a refusal.
func (f *refusals) note(r reason, detail string) {
	n := f.count[r].Add(1)
	last, now := f.logged[r].Load(), time.Now().UnixNano()
	if last != 0 && now-last < int64(quiet) || !f.logged[r].CompareAndSwap(last, now) {
		return
	}
	f.log.Warn("gossip is refused; more of this kind is only counted", "reason", r.String(), "detail", detail, "refused", n)
}

// counts returns how often each reason was noted, by its name.
func (f *refusals) counts() map[string]uint64 {
	out := map[string]uint64{}
	for r := range reasons {
		out[r.String()] = f.count[r].Load()
	}
	return out
}

// Write takes a line of memberlist's log.
func (f *refusals) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	if r, ok := refusal(text); ok {
		f.note(r, text)
	}
	// Its errors are about others, who may be away: no news for whom ours are read.
	f.log.Log(context.Background(), slog.LevelDebug, text)
	return len(line), nil
}

// refusal reads in a line of memberlist's log why it refused something.
func refusal(line string) (reason, bool) {
	for _, p := range []struct {
		has string
		is  reason
	}{
		{"unacceptable label", foreign},
		{"decrypt", key}, {"is not encrypted", key}, {"unsupported encryption version", key},
		{"handler queue full", overflow}, {"Too many pending", overflow},
		{"label header", malformed}, {"label;", malformed}, {"not supported", malformed}, {"invalid checksum", malformed},
		{"Failed to decode", malformed}, {"failed to receive", malformed}, {"invalid msgType", malformed}, {"exceeds limit", malformed},
	} {
		if strings.Contains(line, p.has) {
			return p.is, true
		}
	}
	return 0, false
}
