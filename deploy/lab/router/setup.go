package router

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"time"
)

// maxSocketPath is the length of the path of a unix socket, without its NUL.
const maxSocketPath = 107

// File is a configuration file.
type File struct {
	Path, Content string
}

// Daemon is a process of a router. It stays in the foreground and logs to its
// standard output or error.
type Daemon struct {
	Name string
	Args []string
	// Socket is a unix socket that accepts connections as soon as the daemon
	// is ready; the next daemon is started only then.
	Socket string
}

// Setup is all that a router is made of, daemons in the order of their start.
type Setup struct {
	Dir string
	// User owns the directory and what is in it, when it is not ours.
	User    string
	Files   []File
	Daemons []Daemon
}

// Setup says which files and processes make this router of the given kind.
func (c Config) Setup(kind Kind) (Setup, error) {
	if err := c.Validate(); err != nil {
		return Setup{}, fmt.Errorf("checking the configuration of router %q: %w", c.Name, err)
	}
	c = c.withDefaults()
	var s Setup
	var err error
	switch kind {
	case FRR:
		s = frr(c)
	case BIRD:
		s = bird(c)
	case Builtin:
		s, err = builtinSetup(c)
	default:
		return Setup{}, fmt.Errorf("router kind %q: want %s, %s or %s", kind, Builtin, FRR, BIRD)
	}
	s.Dir = c.Dir
	for _, d := range s.Daemons {
		if len(d.Socket) > maxSocketPath {
			err = errors.Join(err, fmt.Errorf("socket %s: its path is longer than %d bytes", d.Socket, maxSocketPath))
		}
	}
	return s, err
}

// Write makes the directory and writes the files. What an earlier run left
// under the same names is replaced, and its sockets are removed.
func (s Setup) Write() error {
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return fmt.Errorf("making the router's directory: %w", err)
	}
	for _, d := range s.Daemons {
		if err := os.Remove(d.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing an old socket of %s: %w", d.Name, err)
		}
	}
	for _, f := range s.Files {
		if err := os.WriteFile(f.Path, []byte(f.Content), 0o600); err != nil {
			return fmt.Errorf("writing the router's configuration: %w", err)
		}
	}
	return s.chown()
}

func (s Setup) chown() error {
	if s.User == "" {
		return nil
	}
	u, err := user.Lookup(s.User)
	if err != nil {
		return fmt.Errorf("finding the router's user: %w", err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("reading the ids of user %s: %w", s.User, err)
	}
	for _, f := range s.Files {
		if err := os.Chown(f.Path, uid, gid); err != nil {
			return fmt.Errorf("giving the router's files to %s: %w", s.User, err)
		}
	}
	if err := os.Chown(s.Dir, uid, gid); err != nil {
		return fmt.Errorf("giving the router's directory to %s: %w", s.User, err)
	}
	return nil
}

// Await returns when the daemon accepts connections on its socket.
func (d Daemon) Await(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("unix", d.Socket)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w: %w", d.Name, context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// Installed says which program a kind of router lacks on this machine, and how
// to get it.
func (k Kind) Installed() error {
	need := map[Kind][]string{FRR: {frrDir + "/zebra", frrDir + "/bgpd"}, BIRD: {"bird"}}
	debian := map[Kind]string{FRR: "frr", BIRD: "bird2"}
	for _, program := range need[k] {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("router %s: %s is missing: apt-get install %s", k, filepath.Base(program), debian[k])
		}
	}
	return nil
}
