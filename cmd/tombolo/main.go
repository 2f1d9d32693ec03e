// Command tombolo is every part of Tombolo; its first argument says which.
package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// version is set by `make build`; of any other build it is what Go knows of it.
var version = ""

// buildVersion returns the version that a build was given, or else the module's
// version or the commit that Go noted.
func buildVersion(given string, info *debug.BuildInfo) string {
	if given != "" || info == nil {
		return cmp.Or(given, "unknown")
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	if revision != "" {
		return revision + dirty
	}
	return "unknown"
}

func main() {
	info, _ := debug.ReadBuildInfo()
	version = buildVersion(version, info)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := newRoot().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "tombolo:", err)
		os.Exit(1)
	}
}
