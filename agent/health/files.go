package health

import (
	"context"
	"maps"
	"time"

	"tombolo.io/tombolo/internal/kept"
)

// files are what is to be written, by the names of the files.
type files map[string]any

// rewrite is how long after a failure a file is written again, whether or not there
// is something newer.
const rewrite = time.Second

// file has a value written: a slow disk holds up nobody. What is older and was not
// begun is not written any more.
func (h *Health) file(name string, value any) {
	all := files{}
	select {
	case all = <-h.files:
	default:
	}
	all[name] = value
	h.files <- all // for which there is room: nobody else puts something in
}

// writeFiles writes what it is given until ctx ends. What fails is written again until
// it does not, so that a disk that was full for a moment leaves nothing old behind.
func (h *Health) writeFiles(ctx context.Context, path func(string) string) {
	failed := files{}
	for {
		var again <-chan time.Time
		if len(failed) > 0 {
			again = time.After(rewrite)
		}
		todo := maps.Clone(failed)
		select {
		case newer := <-h.files:
			maps.Copy(todo, newer)
		case <-again:
		case <-ctx.Done():
			return
		}
		for name, value := range todo {
			_, before := failed[name]
			err := kept.Write(path(name), value)
			if delete(failed, name); err != nil {
				failed[name] = value
			}
			switch {
			case err != nil && !before:
				h.deps.Log.Warn("what is known of the mesh is not kept for a restart; trying again", "error", err)
			case err == nil && before:
				h.deps.Log.Info("what is known of the mesh is kept for a restart again", "file", path(name))
			}
		}
	}
}
