package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"tombolo.io/tombolo/internal/vm/job"
)

// pack writes the initramfs of a suite to a file, and returns what the guest will do.
func pack(file string, s suite, modules []string) (job.Job, error) {
	var j job.Job
	f, err := os.Create(file)
	if err != nil {
		return j, err
	}
	buffer := bufio.NewWriter(f)
	c := &cpio{w: buffer, have: map[string]bool{"/": true}}
	c.file("/init", s.guest)
	for _, m := range modules {
		at := "/modules/" + filepath.Base(m)
		c.file(at, m)
		j.Modules = append(j.Modules, at)
	}
	for _, b := range s.packages {
		p := job.Part{Package: b.path()}
		c.file(p.Binary(), b.binary)
		c.tree(p.Dir()+"/testdata", filepath.Join(b.Dir, "testdata"))
	}
	j.Parts = s.parts
	text, err := json.Marshal(j)
	if err != nil {
		return j, err
	}
	c.bytes(job.File, text)
	return j, errors.Join(c.close(), buffer.Flush(), f.Close())
}

// cpio writes an archive in the format that the kernel unpacks, "newc"
// (Documentation/driver-api/early-userspace/buffer-format.rst). Its first error stays.
type cpio struct {
	w       io.Writer
	err     error
	entries int
	written int
	have    map[string]bool // the directories that are there
}

// file adds a file as it is on this machine.
func (c *cpio) file(name, from string) {
	text, err := os.ReadFile(from)
	if err != nil {
		c.err = errors.Join(c.err, err)
		return
	}
	c.bytes(name, text)
}

// tree adds all files below a directory, if there is one.
func (c *cpio) tree(name, from string) {
	err := filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			c.file(name+strings.TrimPrefix(p, from), p)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.err = errors.Join(c.err, err)
	}
}

func (c *cpio) bytes(name string, text []byte) {
	c.directory(path.Dir(name))
	c.entry(name, 0o100755, text)
}

func (c *cpio) directory(name string) {
	if c.have[name] {
		return
	}
	c.directory(path.Dir(name))
	c.have[name] = true
	c.entry(name, 0o040755, nil)
}

func (c *cpio) close() error {
	c.entry("TRAILER!!!", 0, nil)
	return c.err
}

// entry writes a header of 13 numbers, the name and the contents, the latter two each
// filled up to a multiple of four bytes.
func (c *cpio) entry(name string, mode uint32, text []byte) {
	name = strings.TrimPrefix(name, "/")
	c.entries++
	const links, nameEnd = 1, 1
	c.write("070701")
	for _, n := range []uint32{
		uint32(c.entries), mode, 0, 0, links, 0, uint32(len(text)),
		0, 0, 0, 0, uint32(len(name) + nameEnd), 0,
	} {
		c.write(fmt.Sprintf("%08X", n))
	}
	c.write(name + "\x00")
	c.fill()
	c.write(string(text))
	c.fill()
}

func (c *cpio) fill() { c.write(strings.Repeat("\x00", -c.written&3)) }

func (c *cpio) write(text string) {
	n, err := io.WriteString(c.w, text)
	c.written += n
	if c.err == nil {
		c.err = err
	}
}
