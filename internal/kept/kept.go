// Package kept keeps what a process must know when it comes back while the
// store is away: one value a file, as JSON, in the process's run directory.
//
// A file is replaced at once: whoever reads it, also after a crash, finds the
// old value or the new one. It says nothing of what a value means or whether it
// still holds; that is for its owner to check.
package kept

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Write replaces the value in a file, which only the process's user may read.
// One process writes a file.
func Write(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	// One name, not a random one: what a killed process left is written over.
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// Read returns the value in a file, and the zero value and false when there is
// no such file.
func Read[T any](path string) (v T, ok bool, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return v, false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		var none T
		return none, false, fmt.Errorf("reading %s: %w", path, err)
	}
	return v, true, nil
}
