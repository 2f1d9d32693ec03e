package e2e

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// family rewrites manifests that a script has for IPv4 into what they are in the family
// of LAB_FAMILY.
func family(ts *testscript.TestScript, neg bool, files []string) {
	if neg || len(files) == 0 {
		ts.Fatalf("usage: family FILE ...")
	}
	if ts.Getenv("LAB_FAMILY") != "ipv6" {
		return
	}
	for _, f := range files {
		ts.Check(os.WriteFile(ts.MkAbs(f), []byte(inIPv6(ts.ReadFile(f))), 0o644))
	}
}

// labIPv4 are the lab's addresses of pods, cluster IPs and load-balancer IPs.
var labIPv4 = regexp.MustCompile(`\b10\.\d+\.\d+\.\d+\b|\b203\.0\.113\.\d+\b`)

// inIPv6 has the addresses of a lab by IPv6 in the places of those by IPv4.
func inIPv6(manifest string) string {
	manifest = strings.ReplaceAll(manifest, "addressType: IPv4", "addressType: IPv6")
	return labIPv4.ReplaceAllStringFunc(manifest, func(a string) string {
		var n [4]int
		for i, part := range strings.Split(a, ".") {
			n[i], _ = strconv.Atoi(part) // digits, says the expression
		}
		switch {
		case n[0] == 203:
			return fmt.Sprintf("2001:db8:113:1::%x", n[3]-16)
		case n[1] == 96:
			return fmt.Sprintf("fd00:96::%x", n[3])
		}
		return fmt.Sprintf("fd00:10:%d:%d::%x", n[1], n[2], n[3])
	})
}
