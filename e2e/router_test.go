package e2e

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"tombolo.io/tombolo/deploy/lab"
	"tombolo.io/tombolo/deploy/lab/router"
)

// heardProgram asks the daemon of a router which paths to a prefix it heard of:
// the kernel, which is asked for routes otherwise, knows of no communities.
func heardProgram() {
	if len(os.Args) != 3 {
		exit("usage: heard ROUTER PREFIX")
	}
	l, err := lab.Load(lab.DefaultBase, "", os.Getenv("LAB"))
	if err != nil {
		exit(err)
	}
	prefix, err := netip.ParseAddr(os.Args[2])
	if err != nil {
		exit(err)
	}
	text, err := heard(l.RunDir(os.Args[1]), router.Kind(l.Router), prefix)
	if err != nil {
		exit(err)
	}
	fmt.Println(text)
}

func heard(dir string, kind router.Kind, host netip.Addr) (string, error) {
	prefix := netip.PrefixFrom(host, host.BitLen()).String()
	switch kind {
	case router.FRR:
		family := "ipv6"
		if host.Is4() {
			family = "ipv4"
		}
		out, err := exec.Command("vtysh", "--vty_socket", dir, "-c", "show bgp "+family+" unicast "+prefix).CombinedOutput()
		return string(out), err
	case router.BIRD:
		out, err := exec.Command("birdc", "-s", filepath.Join(dir, "bird.ctl"), "show route all for "+prefix).CombinedOutput()
		return birdTuple.ReplaceAllStringFunc(string(out), func(tuple string) string {
			return strings.NewReplacer("(", "", ")", "", ", ", ":", ",", ":").Replace(tuple)
		}), err
	}
	conn, err := net.Dial("unix", filepath.Join(dir, router.BuiltinSocket))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	all, err := io.ReadAll(conn)
	var out []string
	for line := range strings.Lines(string(all)) {
		if strings.HasPrefix(line, prefix+" ") {
			out = append(out, line)
		}
	}
	return strings.Join(out, ""), err
}

// birdTuple is a community as BIRD writes it: (65000,1), and (65000, 1, 2).
var birdTuple = regexp.MustCompile(`\([0-9, ]+\)`)
