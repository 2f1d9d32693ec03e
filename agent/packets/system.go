package packets

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// sysctls is where the kernel's settings are, those of the network of the network
// namespace of the thread that reads.
const sysctls = "/proc/sys/net/"

// checkForwarding says whether the kernel forwards packets of the families that there
// are services of, as it must for us; from is sysctls.
func checkForwarding(from string, v4, v6 bool) error {
	var errs []error
	for _, s := range []struct {
		asked      bool
		path, name string
	}{
		{v4, "ipv4/ip_forward", "net.ipv4.ip_forward"}, {v6, "ipv6/conf/all/forwarding", "net.ipv6.conf.all.forwarding"},
	} {
		if !s.asked {
			continue
		}
		b, err := os.ReadFile(filepath.Join(from, s.path))
		if errors.Is(err, os.ErrNotExist) {
			continue // a kernel without the family
		}
		if err == nil && strings.TrimSpace(string(b)) == "0" {
			err = fmt.Errorf("%s is 0, so that packets of services are not forwarded: set it to 1", s.name)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// checkPorts says whether the kernel leaves our ports alone; from is sysctls.
func checkPorts(from string, first, count uint16) error {
	b, err := os.ReadFile(filepath.Join(from, "ipv4/ip_local_port_range"))
	if err != nil {
		return err
	}
	return checkRange(string(b), first, count)
}

// checkRange compares the range of ports that the kernel gives to sockets with ours.
func checkRange(text string, first, count uint16) error {
	fields := strings.Fields(text)
	if len(fields) != 2 {
		return fmt.Errorf("reading net.ipv4.ip_local_port_range: %q is no range", text)
	}
	low, err := strconv.Atoi(fields[0])
	if err != nil {
		return fmt.Errorf("reading net.ipv4.ip_local_port_range: %w", err)
	}
	high, err := strconv.Atoi(fields[1])
	if err != nil {
		return fmt.Errorf("reading net.ipv4.ip_local_port_range: %w", err)
	}
	last := int(first) + int(count) - 1
	if low <= last && high >= int(first) {
		return fmt.Errorf("net.ipv4.ip_local_port_range %d-%d overlaps the ports %d-%d of packets to backends: move it, as to 32768 60999", low, high, first, last)
	}
	return nil
}
