package kept

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestWriteAndRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "numbers")
	if v, ok, err := Read[[]int](path); v != nil || ok || err != nil {
		t.Errorf("a file that is not there: %v, %v, %v", v, ok, err)
	}
	for _, want := range [][]int{{1, 2}, {3}} {
		if err := Write(path, want); err != nil {
			t.Fatal(err)
		}
		if v, ok, err := Read[[]int](path); !slices.Equal(v, want) || !ok || err != nil {
			t.Errorf("got %v, %v, %v, want %v", v, ok, err, want)
		}
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("files: %v", files)
	}
}

func TestDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "numbers")
	if err := os.WriteFile(path, []byte("[1, 2"), 0o600); err != nil {
		t.Fatal(err)
	}
	if v, ok, err := Read[[]int](path); v != nil || ok || err == nil {
		t.Errorf("got %v, %v, %v", v, ok, err)
	}
}

// What cannot be written leaves the old value, and nothing else.
func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "numbers")
	if err := Write(path, 1); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, func() {}); err == nil {
		t.Error("a function was written")
	}
	if err := Write(filepath.Join(dir, "missing", "numbers"), 1); err == nil {
		t.Error("wrote into a folder that is not there")
	}
	if v, ok, err := Read[int](path); v != 1 || !ok || err != nil {
		t.Errorf("got %v, %v, %v", v, ok, err)
	}
}
