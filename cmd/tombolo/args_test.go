package main

import (
	"runtime/debug"
	"strings"
	"testing"

	"tombolo.io/tombolo/deploy/lab/echo"
)

func TestWrongArguments(t *testing.T) {
	for args, want := range map[string]string{
		"store get":          "tombolo store get takes KEY, and was given none; tombolo store get --help tells more",
		"store get a b":      `tombolo store get takes KEY, and was given "a" "b"; tombolo store get --help tells more`,
		"bgp routes a":       `tombolo bgp routes takes no argument, and was given "a"; tombolo bgp routes --help tells more`,
		"services shop cart": `and was given "shop" "cart"`,
		"store snapshoot":    `tombolo store has no command "snapshoot"; did you mean snapshot?`,
		"completion csh":     `tombolo completion has no command "csh"; did you mean bash`,
		"store bogus":        `tombolo store has no command "bogus"; its commands are `,
		"statis":             `tombolo has no command "statis"; did you mean status?`,
		"lab start east-1":   `tombolo lab start takes MACHINE ROLE [-- FLAG...], and was given "east-1"`,
	} {
		_, err := run(t, strings.Fields(args)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
}

func TestNobodyAnswered(t *testing.T) {
	for _, c := range []struct {
		requests, failed int
		fails            bool
	}{{0, 0, false}, {3, 0, false}, {3, 2, false}, {3, 3, true}} {
		err := answered("192.0.2.1:80", echo.Report{Requests: c.requests, Failed: c.failed})
		if (err != nil) != c.fails {
			t.Errorf("%d of %d failed: %v", c.failed, c.requests, err)
		}
	}
}

func TestBuildVersion(t *testing.T) {
	noted := func(version string, settings ...string) *debug.BuildInfo {
		info := &debug.BuildInfo{Main: debug.Module{Version: version}}
		for _, s := range settings {
			k, v, _ := strings.Cut(s, "=")
			info.Settings = append(info.Settings, debug.BuildSetting{Key: k, Value: v})
		}
		return info
	}
	for _, c := range []struct {
		given string
		info  *debug.BuildInfo
		want  string
	}{
		{"v1.2.3", noted("v9"), "v1.2.3"},
		{"", nil, "unknown"},
		{"", noted("(devel)"), "unknown"},
		{"", noted("v1.0.0"), "v1.0.0"},
		{"", noted("(devel)", "vcs.revision=0123456789abcdef", "vcs.modified=false"), "0123456789ab"},
		{"", noted("", "vcs.revision=0123456789abcdef", "vcs.modified=true"), "0123456789ab-dirty"},
	} {
		if got := buildVersion(c.given, c.info); got != c.want {
			t.Errorf("%q, %+v: %q, want %q", c.given, c.info, got, c.want)
		}
	}
}
