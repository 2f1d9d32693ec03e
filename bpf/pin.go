package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// layout is the version of the maps' layout, part of the pins' path. It changes
// with every change that an older or newer program could misread.
const layout = "v2"

// ErrInUse is returned when another process has the same pins loaded.
var ErrInUse = errors.New("in use by another process")

// pins is where on a bpffs everything lies.
type pins struct{ root string }

func pinsOf(bpffs string) pins            { return pins{filepath.Join(bpffs, "tombolo")} }
func (p pins) links() string              { return filepath.Join(p.root, "links") }
func (p pins) link(h hook) string         { return filepath.Join(p.links(), h.name) }
func (p pins) maps() string               { return filepath.Join(p.root, "lb") }
func (p pins) instance(one string) string { return filepath.Join(p.maps(), layout, one) }

// LinkPins returns the files by which the programs of a node stay attached
// without a process, those that are always there.
func LinkPins(c Config) []string {
	p := pinsOf(c.BPFFS)
	var out []string
	for _, h := range hooks {
		if !h.onDemand {
			out = append(out, p.link(h))
		}
	}
	return out
}

// lock takes the root for this process, until the file is closed.
func (p pins) lock() (*os.File, error) { return lockDir(p.root) }

// lockDir makes a folder and takes it for this process, until the file is closed.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	return f, nil
}

// instances returns the folders that hold a set of maps, of any layout.
func (p pins) instances() ([]string, error) {
	return filepath.Glob(filepath.Join(p.maps(), "*", "*"))
}

// live returns the folder whose maps the attached programs use, or "" when
// there is none. Links are swapped in the order of hooks, so if a swap was cut
// short the first link has what is new, and was complete before it began. Maps that
// one instance inherited from the other tell nothing, nor do programs that use no
// others.
func (p pins) live() (string, error) {
	instances, err := p.instances()
	if err != nil {
		return "", err
	}
	for _, h := range hooks {
		used, err := mapsOfLink(p.link(h))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		for _, dir := range instances {
			if uses, err := holds(dir, used); uses || err != nil {
				return dir, err
			}
		}
	}
	return "", nil
}

// mapsOfLink returns the maps that the program of a pinned link uses.
func mapsOfLink(path string) ([]ebpf.MapID, error) {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return nil, fmt.Errorf("opening link %s: %w", path, err)
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return nil, fmt.Errorf("asking about link %s: %w", path, err)
	}
	prog, err := ebpf.NewProgramFromID(info.Program)
	if err != nil {
		return nil, fmt.Errorf("opening the program of link %s: %w", path, err)
	}
	defer prog.Close()
	about, err := prog.Info()
	if err != nil {
		return nil, fmt.Errorf("asking about the program of link %s: %w", path, err)
	}
	ids, _ := about.MapIDs()
	return ids, nil
}

// holds says whether one of these maps is pinned in a folder, and can be in no other.
func holds(dir string, ids []ebpf.MapID) (bool, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		if isHeirloom(e.Name()) {
			continue
		}
		m, err := ebpf.LoadPinnedMap(filepath.Join(dir, e.Name()), nil)
		if err != nil {
			return false, fmt.Errorf("opening map %s: %w", filepath.Join(dir, e.Name()), err)
		}
		info, err := m.Info()
		m.Close()
		if err != nil {
			return false, fmt.Errorf("asking about map %s: %w", filepath.Join(dir, e.Name()), err)
		}
		if id, ok := info.ID(); ok && slices.Contains(ids, id) {
			return true, nil
		}
	}
	return false, nil
}

// keepOnly removes every instance but one, and the folders this leaves empty.
func (p pins) keepOnly(dir string) error {
	instances, err := p.instances()
	if err != nil {
		return err
	}
	for _, old := range instances {
		if old == dir {
			continue
		}
		if err := os.RemoveAll(old); err != nil {
			return fmt.Errorf("removing old maps: %w", err)
		}
		// Refused while the other instance of the layout is in it.
		_ = os.Remove(filepath.Dir(old))
	}
	return nil
}
