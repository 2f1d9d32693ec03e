package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// kernel is one that was unpacked.
type kernel struct {
	// dir has vmlinuz and the modules, all in one folder.
	dir string
}

func (k kernel) image() string { return filepath.Join(k.dir, "vmlinuz") }

func (k kernel) module(name string) string { return filepath.Join(k.dir, name+".ko") }

// debian matches the packages of the kernel, unsigned, which have no dependencies.
// Their last number grows with every change of the kernel's interface to modules.
var debian = regexp.MustCompile(`(?m)^linux-image-6\.1\.0-(\d+)-amd64-unsigned\b`)

// apt are options with which apt is called.
type apt []string

// fetch returns the newest of the kernels that Debian has, from the cache or its mirror.
func fetch(ctx context.Context, cache string) (kernel, error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return kernel{}, err
	}
	name, from, err := newest(ctx, cache)
	if err != nil {
		return kernel{}, err
	}
	k := kernel{dir: filepath.Join(cache, name)}
	if _, err := os.Stat(k.dir); !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	tell("fetching %s", name)
	// Whatever cuts this short leaves no half of a kernel.
	fresh, err := os.MkdirTemp(cache, "new-")
	if err != nil {
		return kernel{}, err
	}
	defer os.RemoveAll(fresh)
	deb, err := from.download(ctx, name, fresh)
	if err != nil {
		return kernel{}, err
	}
	if err := unpack(ctx, deb, fresh); err != nil {
		return kernel{}, fmt.Errorf("unpacking %s: %w", name, err)
	}
	if err := os.Remove(deb); err != nil {
		return kernel{}, err
	}
	if err := os.Rename(fresh, k.dir); err != nil && !errors.Is(err, fs.ErrExist) { // another run was faster
		return kernel{}, err
	}
	return k, nil
}

// newest returns the name of the package with the newest kernel, and who has it: the
// apt of this machine or that of Debian 12, where this is another Debian. The lists of
// either may be empty still.
func newest(ctx context.Context, cache string) (string, apt, error) {
	twelve, err := bookworm(filepath.Join(cache, "apt"))
	if err != nil {
		return "", nil, err
	}
	for _, update := range []bool{false, true} {
		for _, from := range []apt{nil, twelve} {
			if update {
				if err := from.update(ctx); err != nil {
					return "", nil, err
				}
			}
			if name, err := from.newest(ctx); name != "" || err != nil {
				return name, from, err
			}
		}
	}
	return "", nil, fmt.Errorf("apt knows no package %s, not even of Debian 12", debian)
}

// bookworm is apt as a Debian 12 would have it, with all that it keeps in a directory.
func bookworm(dir string) (apt, error) {
	lists := filepath.Join(dir, "lists") // which apt clears of all that is not its own
	if err := os.MkdirAll(filepath.Join(lists, "partial"), 0o755); err != nil {
		return nil, err
	}
	sources := filepath.Join(dir, "sources.list")
	const text = `deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian-security bookworm-security main
`
	return apt{
		"-o", "Dir::Etc::SourceList=" + sources, "-o", "Dir::Etc::SourceParts=/dev/null",
		"-o", "Dir::State::Lists=" + lists, "-o", "Dir::Cache=" + dir, "-o", "APT::Architecture=amd64",
	}, os.WriteFile(sources, []byte(text), 0o644)
}

func (a apt) command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	// Root's apt would complain that the user _apt cannot write to our directories.
	return command(ctx, dir, name, slices.Concat(apt{"-o", "APT::Sandbox::User=root"}, a, args)...)
}

func (a apt) newest(ctx context.Context) (string, error) {
	out, err := a.command(ctx, "", "apt-cache", "search", "--names-only", "linux-image-6.1.0-.*-amd64-unsigned").Output()
	if err != nil {
		return "", fmt.Errorf("asking apt for kernels: %w", err)
	}
	return newestOf(string(out)), nil
}

// newestOf chooses from what apt found, a line each; empty where there is none.
func newestOf(found string) string {
	number := func(m []string) int { n, _ := strconv.Atoi(m[1]); return n }
	all := debian.FindAllStringSubmatch(found, -1)
	if len(all) == 0 {
		return ""
	}
	return slices.MaxFunc(all, func(a, b []string) int { return number(a) - number(b) })[0]
}

func (a apt) update(ctx context.Context) error {
	if err := a.command(ctx, "", "apt-get", "update", "-qq").Run(); err != nil {
		return fmt.Errorf("apt-get update, as root: %w", err)
	}
	return nil
}

// download fetches a package into a directory, and returns its file.
func (a apt) download(ctx context.Context, name, dir string) (string, error) {
	get := func() error { return a.command(ctx, dir, "apt-get", "download", "-qq", name).Run() }
	if err := get(); err != nil {
		// The mirror may have replaced the version that apt's lists name.
		if err := a.update(ctx); err != nil {
			return "", err
		}
		if err := get(); err != nil {
			return "", fmt.Errorf("apt-get download %s: %w", name, err)
		}
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("apt-get download %s left %v", name, found)
	}
	return found[0], nil
}

// command is one whose complaints the user sees.
func command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	return cmd
}

// unpack writes the kernel and the modules of a package that could be of use.
func unpack(ctx context.Context, deb, dir string) error {
	cmd := command(ctx, "", "dpkg-deb", "--fsys-tarfile", deb)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = unpackTar(out, dir)
	_, _ = io.Copy(io.Discard, out) // or dpkg-deb would not end
	return errors.Join(err, cmd.Wait())
}

func unpackTar(r io.Reader, dir string) error {
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name, ok := wanted(h.Name)
		if !ok || h.Typeflag != tar.TypeReg {
			continue
		}
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		_, err = io.Copy(f, archive)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
}

// wanted returns the name that a file of the package gets; false when nobody needs it.
// Most of the 400 MB are drivers of hardware.
func wanted(file string) (name string, ok bool) {
	if strings.Contains(file, "/boot/vmlinuz-") {
		return "vmlinuz", true
	}
	_, module, _ := strings.Cut(file, "/kernel/")
	for _, folder := range []string{"net", "lib", "crypto", "drivers/net", "drivers/net/vxlan"} {
		below := strings.HasPrefix(module, folder+"/") && !strings.HasPrefix(folder, "drivers")
		if (below || path.Dir(module) == folder) && strings.HasSuffix(module, ".ko") {
			return path.Base(module), true
		}
	}
	return "", false
}
