package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"syscall"

	"tombolo.io/tombolo/deploy/lab/echo"
	"tombolo.io/tombolo/internal/control"
)

// labProgram becomes tombolo lab, for the lab of the script.
func labProgram() {
	if len(os.Args) < 2 {
		exit("usage: lab COMMAND [ARGUMENT...]")
	}
	tombolo, err := exec.LookPath("tombolo")
	if err != nil {
		exit(err)
	}
	args := append([]string{"tombolo", "lab", os.Args[1], "--name", os.Getenv("LAB")}, os.Args[2:]...)
	if os.Args[1] == "up" {
		args = append(args, "--family", os.Getenv("LAB_FAMILY"))
	}
	exit(syscall.Exec(tombolo, args, os.Environ()))
}

// askProgram makes requests and prints who answered them, a line each.
func askProgram() {
	modes := []echo.Mode{echo.UDP, echo.UDPUnconnected, echo.HTTPMapped, echo.UDPMapped}
	mode := echo.HTTP
	for _, m := range modes {
		flag.BoolFunc(string(m), "ask in this mode", func(string) error { mode = m; return nil })
	}
	flag.Parse()
	if flag.NArg() != 3 {
		exit(fmt.Sprintf("usage: ask [-MODE] MACHINE TARGET COUNT, MODE one of %v", modes))
	}
	cmd := exec.Command("tombolo", "lab", "exec", "--name", os.Getenv("LAB"), flag.Arg(0), "--",
		"tombolo", "requests", "--target", flag.Arg(1), "--count", flag.Arg(2), "--mode", string(mode))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil && len(out) == 0 { // a report comes also when nobody answered
		exit(err)
	}
	var r echo.Report
	if err := json.Unmarshal(out, &r); err != nil {
		exit(err)
	}
	fmt.Printf("failed %d\n", r.Failed)
	for _, shares := range []map[string]int{r.Clusters, r.Pods} {
		for _, name := range slices.Sorted(maps.Keys(shares)) {
			fmt.Printf("%s %d%%\n", name, 100*shares[name]/max(1, r.Requests-r.Failed))
		}
	}
	for _, word := range slices.Sorted(maps.Keys(r.Errors)) {
		fmt.Printf("error %s %d\n", word, r.Errors[word])
	}
}

// pageProgram prints a page that a role of the node that it runs on serves, and
// fails when the answer is not 200.
func pageProgram() {
	if len(os.Args) != 3 {
		exit("usage: page ROLE PATH")
	}
	out, err := control.NewClient(os.Getenv("TOMBOLO_RUN_DIR"), os.Args[1]).Raw(context.Background(), os.Args[2])
	if err != nil {
		exit(err)
	}
	os.Stdout.Write(out)
}

func exit(why any) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(1)
}
