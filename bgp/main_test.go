package bgp

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	lab "tombolo.io/tombolo/deploy/lab/router"
	"tombolo.io/tombolo/deploy/lab/router/builtin"
	"tombolo.io/tombolo/etcd"
)

// TestMain is also a speaker and the built-in router, when it is run as such in
// a network namespace.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case "speaker":
			os.Exit(child(runSpeaker, os.Args[2]))
		case "router":
			os.Exit(child(runRouter, os.Args[2]))
		}
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil { // the tests wait for routers' timers, they compute little
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func child(run func(context.Context, string) error, arg string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, arg); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// speakerConfig is what the speaker of a node is started with.
type speakerConfig struct {
	RunDir, Store string
	Final         bool
	// GracefulShutdown is for tests of drains.
	GracefulShutdown time.Duration
}

func runSpeaker(ctx context.Context, text string) error {
	var c speakerConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	conf := Config{Node: "n1", RunDir: c.RunDir, Final: c.Final, GracefulShutdown: c.GracefulShutdown, Version: "test", Store: etcd.Config{Endpoints: []string{c.Store}}}
	return New(conf, slog.New(slog.NewTextHandler(os.Stderr, nil))).Run(ctx)
}

func runRouter(ctx context.Context, conf string) error {
	c, err := lab.Load(conf)
	if err != nil {
		return err
	}
	return builtin.Run(ctx, c, slog.New(slog.NewTextHandler(os.Stderr, nil)))
}
