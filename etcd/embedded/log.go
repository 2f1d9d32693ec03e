package embedded

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// zapLogger returns a logger for etcd that writes to ours. etcd tells much:
// what it calls a warning is news here, and what it calls news is detail.
func zapLogger(log *slog.Logger) *zap.Logger {
	return zap.New(core{log.With("component", "etcd")})
}

// core is a zapcore.Core over slog.
type core struct{ log *slog.Logger }

// usual are lines that every new store writes, and what they are worth.
var usual = map[string]slog.Level{
	// Until the first write is on disk; it tries again every few seconds.
	"failed to update storage version": slog.LevelInfo,
	// While it is made and listens to nobody.
	"Running http and grpc server on single port. This is not recommended for production.": slog.LevelDebug,
	// Of tokens for passwords, which nobody has here.
	"simple token is not cryptographically signed": slog.LevelDebug,
}

func level(e zapcore.Entry) slog.Level {
	if l, ok := usual[e.Message]; ok {
		return l
	}
	return levelOf(e.Level)
}

func levelOf(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelError
	case l == zapcore.WarnLevel:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

// Enabled implements zapcore.Core.
func (c core) Enabled(l zapcore.Level) bool {
	return c.log.Enabled(context.Background(), levelOf(l))
}

// With implements zapcore.Core.
func (c core) With(fields []zapcore.Field) zapcore.Core {
	return core{c.log.With(attrs(fields)...)}
}

// Check implements zapcore.Core.
func (c core) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.log.Enabled(context.Background(), level(e)) {
		return checked.AddCore(e, c)
	}
	return checked
}

// Write implements zapcore.Core.
func (c core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	c.log.Log(context.Background(), level(e), e.Message, attrs(fields)...)
	return nil
}

// Sync implements zapcore.Core.
func (c core) Sync() error { return nil }

func attrs(fields []zapcore.Field) []any {
	out := make([]any, 0, len(fields))
	for _, f := range fields {
		m := zapcore.NewMapObjectEncoder()
		f.AddTo(m)
		out = append(out, slog.Any(f.Key, m.Fields[f.Key]))
	}
	return out
}
