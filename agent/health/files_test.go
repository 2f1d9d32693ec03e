package health

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tombolo.io/tombolo/internal/kept"
)

// A file that cannot be written is written when it can, with what it should have then.
func TestFilesAreWrittenAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "away")
	h := New(Config{RunDir: dir}, Deps{Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); h.writeFiles(ctx, h.path) }()
	defer func() { cancel(); <-done }()
	h.file("one.json", 1)
	h.file("two.json", 1)
	time.Sleep(100 * time.Millisecond)
	h.file("one.json", 2)
	time.Sleep(100 * time.Millisecond)
	if _, err := os.Stat(dir); err == nil {
		t.Fatal("the folder is there: nothing failed")
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"one.json": 2, "two.json": 1} {
		deadline := time.Now().Add(20 * time.Second)
		for {
			got, ok, err := kept.Read[int](h.path(name))
			if ok && err == nil && got == want {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s has %d (%v, %v), want %d", name, got, ok, err, want)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}
