package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// virtual holds all virtual addresses of the benchmarks.
var virtual = &net.IPNet{IP: net.IPv4(10, 80, 0, 0), Mask: net.CIDRMask(13, 32)}

// inNewNetns runs f on a thread that has a fresh network namespace, with lo
// up. The thread ends with f, and the namespace with it.
func inNewNetns(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread dies with the goroutine
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("making a network namespace: %w", err)
			}
			lo, err := netlink.LinkByName("lo")
			if err != nil {
				return fmt.Errorf("finding lo: %w", err)
			}
			if err := netlink.LinkSetUp(lo); err != nil {
				return fmt.Errorf("setting lo up: %w", err)
			}
			// A packet needs a route before a rule can give it another destination.
			if err := netlink.RouteAdd(&netlink.Route{LinkIndex: lo.Attrs().Index, Dst: virtual, Scope: netlink.SCOPE_LINK}); err != nil {
				return fmt.Errorf("routing the virtual addresses: %w", err)
			}
			return f()
		}()
	}()
	return <-done
}

// feed runs a command of this thread's namespace with text as its input.
func feed(text string, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running %s: %w: %.300s", name, err, out)
	}
	return nil
}

// need fails with the package to install when a program is missing.
func need(program, pkg string) error {
	if _, err := exec.LookPath(program); err != nil {
		if _, err := os.Stat("/usr/sbin/" + program); err != nil {
			return fmt.Errorf("%s is missing: apt-get install %s", program, pkg)
		}
	}
	return nil
}
