package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"tombolo.io/tombolo/deploy/lab/plan"
)

// Names returns the names of the labs below base, sorted, those that half died
// included.
func Names(base string) ([]string, error) {
	entries, err := os.ReadDir(base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for labs: %w", err)
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() && plan.ValidName(e.Name()) == nil {
			out = append(out, e.Name())
		}
	}
	return out, nil
}
