package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ErrNotRunning says that nobody serves a role.
var ErrNotRunning = errors.New("it is not running")

// ErrNoPage says that a role does not know what it is asked for: it is of
// another version.
var ErrNoPage = errors.New("is it of another version?")

// Client asks one role.
type Client struct {
	// Patience is how long an answer may take.
	Patience     time.Duration
	runDir, role string
	http         http.Client
}

// defaultPatience is longer than a role itself waits for a store.
const defaultPatience = 10 * time.Second

// NewClient returns a client of a role; it connects when it asks.
func NewClient(runDir, role string) *Client {
	c := &Client{Patience: defaultPatience, runDir: runDir, role: role}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", SocketPath(runDir, role))
	}
	c.http.Transport = &http.Transport{DialContext: dial, DisableKeepAlives: true}
	return c
}

// Get asks for a page and reads its JSON into v. ErrNotRunning and ErrNotFound
// tell what went wrong where they can.
func (c *Client) Get(ctx context.Context, path string, v any) error {
	return c.read(ctx, http.MethodGet, path, v)
}

// Post asks a role to do something, and reads its answer into v.
func (c *Client) Post(ctx context.Context, path string, v any) error {
	return c.read(ctx, http.MethodPost, path, v)
}

func (c *Client) read(ctx context.Context, method, path string, v any) error {
	body, err := c.ask(ctx, method, path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("reading %s of the %s: %w", path, c.role, err)
	}
	return nil
}

// Raw asks for a page and returns it as it is.
func (c *Client) Raw(ctx context.Context, path string) ([]byte, error) {
	return c.ask(ctx, http.MethodGet, path)
}

// ask waits for an answer as long as the client's patience lasts.
func (c *Client) ask(ctx context.Context, method, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Patience, errSilent)
	defer cancel()
	body, err := c.fetch(ctx, method, path)
	if err != nil && errors.Is(context.Cause(ctx), errSilent) {
		return nil, fmt.Errorf("asking the %s: %w within %v; is it stopped?", c.role, errSilent, c.Patience)
	}
	return body, err
}

// errSilent ends a question that is not answered in time.
var errSilent = errors.New("it gives no answer")

func (c *Client) fetch(ctx context.Context, method, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.role+path, nil)
	if err != nil {
		return nil, fmt.Errorf("asking the %s: %w", c.role, err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("asking the %s: %w", c.role, err)
	}
	switch text := strings.TrimSpace(string(body)); {
	case res.StatusCode == http.StatusOK:
		return body, nil
	case res.StatusCode == http.StatusNotFound && !strings.HasPrefix(text, "404"):
		return nil, &answerError{text, ErrNotFound}
	case res.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("asking the %s: it has no %s; %w", c.role, path, ErrNoPage)
	default:
		return nil, &answerError{text, nil}
	}
}

// answerError is an error that the role itself put into words.
type answerError struct {
	text string
	kind error
}

func (e *answerError) Error() string { return e.text }
func (e *answerError) Unwrap() error { return e.kind }

// explain says what it means that nobody answers.
func (c *Client) explain(err error) error {
	path := SocketPath(c.runDir, c.role)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("asking the %s: %w: there is no %s; start tombolo %s, or give its --run-dir", c.role, ErrNotRunning, path, c.role)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("asking the %s: %w: a dead process left %s; start tombolo %s", c.role, ErrNotRunning, path, c.role)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("asking the %s: %w; root may", c.role, err)
	}
	return fmt.Errorf("asking the %s: %w", c.role, err)
}

// Roles returns the roles that have a socket in a run directory, sorted.
func Roles(runDir string) ([]string, error) {
	entries, err := os.ReadDir(runDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("looking for roles: %w: there is no %s; start one, or give its --run-dir", ErrNotRunning, runDir)
	}
	if err != nil {
		return nil, fmt.Errorf("looking for roles: %w", err)
	}
	var out []string
	for _, e := range entries {
		if role, ok := strings.CutSuffix(filepath.Base(e.Name()), ".sock"); ok && e.Type() == os.ModeSocket {
			out = append(out, role)
		}
	}
	slices.Sort(out)
	return out, nil
}
