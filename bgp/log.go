package bgp

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	gobgp "github.com/osrg/gobgp/v3/pkg/log"
)

// libraryLog takes the library's log. Its methods run on the library's
// goroutines, so they do nothing but hand the line on. What the library calls
// fatal is an error here: the process goes on, and the session layer decides.
type libraryLog struct{ log *slog.Logger }

// noise is what the library says in an ordinary life.
const noise = "No matching path for withdraw found, may be path was not installed into table"

// Panic logs an error; it does not panic.
func (l libraryLog) Panic(msg string, f gobgp.Fields) { l.write(slog.LevelError, msg, f) }

// Fatal logs an error; it does not end the process.
func (l libraryLog) Fatal(msg string, f gobgp.Fields) { l.write(slog.LevelError, msg, f) }

// Error logs an error.
func (l libraryLog) Error(msg string, f gobgp.Fields) { l.write(slog.LevelError, msg, f) }

// Warn logs a warning.
func (l libraryLog) Warn(msg string, f gobgp.Fields) { l.write(slog.LevelWarn, msg, f) }

// Info logs at the level of debugging: transitions are told by the session
// layer, in the words that the router used.
func (l libraryLog) Info(msg string, f gobgp.Fields) { l.write(slog.LevelDebug, msg, f) }

// Debug drops the line; the library formats each message for it.
func (l libraryLog) Debug(string, gobgp.Fields) {}

// SetLevel does nothing: slog decides.
func (l libraryLog) SetLevel(gobgp.LogLevel) {}

// GetLevel keeps the library from formatting what would be dropped.
func (l libraryLog) GetLevel() gobgp.LogLevel { return gobgp.InfoLevel }

func (l libraryLog) write(level slog.Level, msg string, f gobgp.Fields) {
	if msg == noise {
		return
	}
	args := make([]any, 0, len(f))
	for k, v := range f {
		if k != gobgp.FieldFacility {
			args = append(args, slog.String(k, fmt.Sprint(v)))
		}
	}
	slices.SortFunc(args, func(a, b any) int {
		if a.(slog.Attr).Key < b.(slog.Attr).Key {
			return -1
		}
		return 1
	})
	l.log.Log(context.Background(), level, "bgp library: "+msg, args...)
}
