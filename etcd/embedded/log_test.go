package embedded

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// TestLevels holds that what etcd says on every first start alarms nobody, and that an
// error of its still does.
func TestLevels(t *testing.T) {
	var out bytes.Buffer
	log := zapLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	for message, want := range map[string]string{
		"failed to update storage version":             "level=INFO",
		"simple token is not cryptographically signed": "level=DEBUG",
		"the disk is on fire":                          "level=ERROR",
	} {
		out.Reset()
		log.Error(message)
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s: %q, want %s", message, out.String(), want)
		}
	}
	out.Reset()
	log.Warn("apply request took too long")
	if !strings.Contains(out.String(), "level=INFO") {
		t.Errorf("a warning: %q", out.String())
	}
}
