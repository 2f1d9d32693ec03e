package router

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// BuiltinSocket is the name of the socket in its directory on which the
// built-in router accepts connections once it is ready.
const BuiltinSocket = "router.sock"

// builtinSetup runs this program again, as `router`, which is a hidden command
// of tombolo.
func builtinSetup(c Config) (Setup, error) {
	exe, err := os.Executable()
	if err != nil {
		return Setup{}, fmt.Errorf("finding this program: %w", err)
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return Setup{}, fmt.Errorf("writing a router's configuration as JSON: %w", err)
	}
	conf := filepath.Join(c.Dir, "router.json")
	return Setup{
		Files: []File{{conf, string(text) + "\n"}},
		Daemons: []Daemon{{
			Name: "router", Socket: filepath.Join(c.Dir, BuiltinSocket),
			Args: []string{exe, "router", conf},
		}},
	}, nil
}

// Load reads the configuration of a built-in router.
func Load(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("reading a router's configuration: %w", err)
	}
	var c Config
	if err := json.Unmarshal(text, &c); err != nil {
		return Config{}, fmt.Errorf("reading a router's configuration %s: %w", path, err)
	}
	return c.withDefaults(), c.Validate()
}
