package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// machine is a computer with a kernel and nothing but its initramfs.
type machine struct {
	kernel  kernel
	image   string
	console string // the file for what the kernel says
}

// run starts the machine and calls line for each line that the guest writes, until the
// machine is off.
func (m machine) run(ctx context.Context, line func(string)) error {
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64",
		"-accel", "tcg,thread=multi", "-cpu", "max,la57=off", "-smp", "2", "-m", "2G",
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-serial", "file:"+m.console, "-serial", "stdio",
		"-kernel", m.kernel.image(), "-initrd", m.image,
		// A panic ends the machine; a warning of the kernel is seen.
		"-append", "console=ttyS0 loglevel=5 panic=-1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting qemu (Debian's package qemu-system-x86): %w", err)
	}
	// A line may be long, or come in parts.
	for r := bufio.NewReader(out); err == nil; {
		var text string
		if text, err = r.ReadString('\n'); text != "" {
			line(strings.TrimRight(text, "\r\n"))
		}
	}
	err = cmd.Wait()
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	return err
}
