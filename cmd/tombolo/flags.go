package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/pflag"

	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/control"
)

// storeFlags say where a cluster's etcd is and who we are there.
type storeFlags struct {
	endpoints []string
	tls       etcd.TLSFiles
}

func (f *storeFlags) add(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.endpoints, "etcd-endpoints", nil, "URLs of the cluster's etcd, https://HOST:PORT")
	flags.StringVar(&f.tls.CA, "tls-ca", "", "PEM file of the authority that signed etcd's certificate")
	flags.StringVar(&f.tls.Cert, "tls-cert", "", "PEM file of our certificate; its common name is the user in etcd")
	flags.StringVar(&f.tls.Key, "tls-key", "", "PEM file of our certificate's key")
}

// config returns the client's configuration. Endpoints with https need files;
// files without https are a mistake, which would send everything in the clear.
func (f *storeFlags) config() (etcd.Config, error) {
	c := etcd.Config{Endpoints: f.endpoints}
	if len(f.endpoints) == 0 {
		return c, nil // roles say all that they lack at once
	}
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("reading --etcd-endpoints: %w", err)
	}
	if !c.Secure() {
		if !f.tls.Empty() {
			return c, errors.New("--tls-ca, --tls-cert and --tls-key are for endpoints that begin with https://")
		}
		return c, nil
	}
	if lacking := f.lacking(); len(lacking) > 0 {
		return c, fmt.Errorf("configuring TLS: etcd at https:// takes --tls-ca, --tls-cert and --tls-key: give %s too", strings.Join(lacking, " and "))
	}
	var err error
	c.TLS, err = f.tls.Client()
	return c, err
}

// lacking names the flags of files that are not given.
func (f *storeFlags) lacking() []string {
	var out []string
	for _, one := range []struct{ flag, file string }{{"--tls-ca", f.tls.CA}, {"--tls-cert", f.tls.Cert}, {"--tls-key", f.tls.Key}} {
		if one.file == "" {
			out = append(out, one.flag)
		}
	}
	return out
}

// logFlags say what is logged, and how.
type logFlags struct{ level, format string }

func (f *logFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.level, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&f.format, "log-format", "text", "text or json")
}

func (f *logFlags) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return nil, fmt.Errorf("reading --log-level: %q is none of debug, info, warn, error", f.level)
	}
	o := &slog.HandlerOptions{Level: level}
	switch f.format {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, fmt.Errorf("reading --log-format: %q is none of text, json", f.format)
}

// runDirFlag says where roles keep their sockets.
func runDirFlag(flags *pflag.FlagSet, dir *string) {
	flags.StringVar(dir, "run-dir", control.DefaultRunDir, "directory of the roles' sockets and of what must outlive a restart")
}
