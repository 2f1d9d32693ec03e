package disconnect

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// enterAll opens sock_diag in the network namespaces with these cookies. They are
// found through the processes in proc; one that is not found is gone, or nobody is
// in it any more. An error is about those that could not be looked into.
func enterAll(proc string, cookies map[uint64]bool) (map[uint64]*diag, error) {
	links, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "ns", "net"))
	if err != nil {
		return nil, err
	}
	out, seen := map[uint64]*diag{}, map[string]bool{}
	var errs []error
	for _, link := range links {
		inode, err := os.Readlink(link)
		if err != nil || seen[inode] || len(out) == len(cookies) {
			continue
		}
		d, cookie, err := enter(link)
		switch {
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH):
			continue // the process ended; another may be in the same namespace
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", link, err))
		case cookies[cookie] && out[cookie] == nil:
			out[cookie] = d
		default:
			d.close()
		}
		seen[inode] = true
	}
	return out, errors.Join(errs...)
}

// enter opens sock_diag in a namespace and returns its cookie.
func enter(link string) (*diag, uint64, error) {
	ns, err := netns.GetFromPath(link)
	if err != nil {
		return nil, 0, err
	}
	defer ns.Close()
	d, err := openDiag(ns)
	if err != nil {
		return nil, 0, err
	}
	cookie, err := d.netns()
	if err != nil {
		d.close()
		return nil, 0, err
	}
	return d, cookie, nil
}
