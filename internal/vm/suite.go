package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tombolo.io/tombolo/internal/vm/job"
)

const module = "tombolo.io/tombolo/"

// marker is what the tests of a data path import.
const marker = module + "bpf/bpftest"

// chunk is how many tests a process runs: few, so that both CPUs have work to the end.
const chunk = 3

// suite is what was built to be run.
type suite struct {
	guest    string
	packages []built
	parts    []job.Part
}

// built is a package and the binary of its tests.
type built struct {
	listed
	binary string
}

// build builds the guest and the tests of all packages that have a data path, or of
// those that are asked for.
func build(ctx context.Context, cfg config, dir string) (suite, error) {
	s := suite{guest: filepath.Join(dir, "guest")}
	if err := goes(ctx, "build", "-o", s.guest, module+"internal/vm/guest"); err != nil {
		return s, err
	}
	packages, err := find(ctx)
	if err != nil {
		return s, err
	}
	for _, name := range cfg.packages {
		if !slices.ContainsFunc(packages, func(p listed) bool { return p.path() == name }) {
			return s, fmt.Errorf("the tests of %q have no data path, or there is no such package", name)
		}
	}
	for i, p := range packages {
		if len(cfg.packages) > 0 && !slices.Contains(cfg.packages, p.path()) {
			continue
		}
		c := choices[p.path()]
		if c.why != "" {
			tell("left out: %s: %s", p.path(), c.why)
			continue
		}
		b := built{p, filepath.Join(dir, fmt.Sprintf("%d.test", i))}
		if err := goes(ctx, "test", "-c", "-tags", "vm", "-ldflags", "-s -w", "-o", b.binary, p.ImportPath); err != nil {
			return s, fmt.Errorf("%s: %w", p.ImportPath, err)
		}
		tests, err := choose(ctx, cfg, b, c)
		if err != nil {
			return s, fmt.Errorf("%s: %w", p.ImportPath, err)
		}
		s.packages = append(s.packages, b)
		for few := range slices.Chunk(tests, chunk) {
			s.parts = append(s.parts, job.Part{Package: p.path(), Tests: few, Needs: c.needs})
		}
	}
	// The quick ones of other packages fill what is left at the end.
	last := func(p job.Part) int {
		if p.Package == "bpf" {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(s.parts, func(a, b job.Part) int { return last(a) - last(b) })
	if len(s.parts) == 0 {
		return s, errors.New("no test is asked for")
	}
	return s, nil
}

// goes runs the go command for binaries that need no file but themselves.
func goes(ctx context.Context, args ...string) error {
	cmd := command(ctx, "", "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	return cmd.Run()
}

// listed is what `go list` says of a package.
type listed struct {
	ImportPath, Dir           string
	TestImports, XTestImports []string
}

func (p listed) path() string { return strings.TrimPrefix(p.ImportPath, module) }

// find returns the packages whose tests have a data path.
func find(ctx context.Context) ([]listed, error) {
	out, err := command(ctx, "", "go", "list", "-tags", "vm", "-json=ImportPath,Dir,TestImports,XTestImports", module+"...").Output()
	if err != nil {
		return nil, fmt.Errorf("listing the packages: %w", err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the list of packages: %w", err)
		}
		if slices.Contains(append(p.TestImports, p.XTestImports...), marker) {
			all = append(all, p)
		}
	}
}

// choose asks a binary for its tests, and returns those that are to run.
func choose(ctx context.Context, cfg config, b built, c choice) ([]string, error) {
	out, err := command(ctx, "", b.binary, "-test.list=^Test").Output()
	if err != nil {
		return nil, fmt.Errorf("asking for the names of the tests: %w", err)
	}
	chosen, err := c.of(b.path(), strings.Fields(string(out)), cfg.share)
	return slices.DeleteFunc(chosen, func(test string) bool { return !cfg.run.MatchString(test) }), err
}
