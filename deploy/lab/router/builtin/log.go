package builtin

import (
	"log/slog"
	"maps"
	"slices"

	"github.com/osrg/gobgp/v3/pkg/log"
)

// libraryLog hands the library's log to slog. What the library calls fatal does
// not end the process: this is a router of a lab, and its neighbours are known.
type libraryLog struct {
	log *slog.Logger
	// silent gets the address of a neighbour whose hold timer expired.
	silent chan<- string
}

// holdExpired is how the library says that, and it says so nowhere else.
const holdExpired = "hold timer expired"

// Warn is called with the library's locks held.
func (l libraryLog) Warn(msg string, f log.Fields) {
	l.log.Warn(msg, attrs(f)...)
	if neighbour, ok := f["Key"].(string); ok && msg == holdExpired {
		select {
		case l.silent <- neighbour:
		default:
			l.log.Error("too many neighbours fall silent at once: the routes of one stay for its restart time", "neighbour", neighbour)
		}
	}
}

func (l libraryLog) Panic(msg string, f log.Fields) { l.log.Error(msg, attrs(f)...) }
func (l libraryLog) Fatal(msg string, f log.Fields) { l.log.Error(msg, attrs(f)...) }
func (l libraryLog) Error(msg string, f log.Fields) { l.log.Error(msg, attrs(f)...) }
func (l libraryLog) Info(msg string, f log.Fields)  { l.log.Info(msg, attrs(f)...) }
func (l libraryLog) Debug(msg string, f log.Fields) { l.log.Debug(msg, attrs(f)...) }
func (l libraryLog) SetLevel(log.LogLevel)          {}
func (l libraryLog) GetLevel() log.LogLevel         { return log.InfoLevel }

func attrs(f log.Fields) []any {
	out := make([]any, 0, 2*len(f))
	for _, k := range slices.Sorted(maps.Keys(f)) {
		out = append(out, k, f[k])
	}
	return out
}
