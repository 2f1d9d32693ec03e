package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

// Every flag can also be given in the environment (TOMBOLO_RUN_DIR for
// --run-dir) and, for a role, in the YAML file that --config names (run-dir:).
// The command line wins over the environment, and that over the file.

// environment sets the flags that the command line does not from the
// environment, and then from the file of --config.
func environment(c *cobra.Command, _ []string) error {
	var errs []error
	c.Flags().VisitAll(func(f *pflag.Flag) {
		value, ok := os.LookupEnv(variable(f.Name))
		if !ok || f.Changed || unsettable(f.Name) {
			return
		}
		if err := c.Flags().Set(f.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("reading %s: %w", variable(f.Name), err))
		}
	})
	if f := c.Flags().Lookup("config"); f != nil && f.Value.String() != "" {
		errs = append(errs, fromFile(c.Flags(), f.Value.String()))
	}
	return errors.Join(errs...)
}

// environmentCompletes lets what completes arguments know the flags that the
// environment sets, too: cobra prepares no command for it.
func environmentCompletes(c *cobra.Command) {
	for _, sub := range c.Commands() {
		environmentCompletes(sub)
	}
	if c.ValidArgsFunction != nil {
		c.ValidArgsFunction = withEnvironment(c.ValidArgsFunction)
	}
}

// withEnvironment is complete for a command whose flags the environment may set;
// what completes a flag's values needs it itself, for cobra does not tell of it.
func withEnvironment(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if err := environment(c, args); err != nil {
			cobra.CompErrorln(err.Error())
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(c, args, word)
	}
}

func variable(flag string) string {
	return "TOMBOLO_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// unsettable flags are for the command line alone.
func unsettable(flag string) bool {
	return flag == "help" || flag == "version" || flag == "print-config" || flag == "uninstall"
}

// fromFile sets the flags that are not set yet. Every mistake is reported.
func fromFile(flags *pflag.FlagSet, path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading --config: %w", err)
	}
	return fromYAML(flags, path, raw)
}

func fromYAML(flags *pflag.FlagSet, path string, raw []byte) error {
	asJSON, err := yaml.YAMLToJSONStrict(raw)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	d := json.NewDecoder(bytes.NewReader(asJSON))
	d.UseNumber() // 1000000 is not 1e+06
	var settings map[string]any
	if err := d.Decode(&settings); err != nil {
		return fmt.Errorf("reading %s: want settings, name: value, one a line: %w", path, err)
	}
	var errs []error
	for name, value := range settings {
		f := flags.Lookup(name)
		switch {
		case f == nil || unsettable(name) || name == "config":
			errs = append(errs, fmt.Errorf("reading %s: there is no setting %q; --print-config shows all", path, name))
		case f.Changed:
		default:
			if err := set(flags, f, value); err != nil {
				errs = append(errs, fmt.Errorf("reading %s: setting %s: %w", path, name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// set gives a flag a value of YAML: a scalar, or a list where the flag is one.
func set(flags *pflag.FlagSet, f *pflag.Flag, value any) error {
	switch v := value.(type) {
	case []any:
		list, ok := f.Value.(pflag.SliceValue)
		if !ok {
			return errors.New("it is a list, and one value is wanted")
		}
		var all []string
		for _, e := range v {
			s, err := scalar(e)
			if err != nil {
				return err
			}
			all = append(all, s)
		}
		f.Changed = true
		return list.Replace(all)
	default:
		s, err := scalar(v)
		if err != nil {
			return err
		}
		return flags.Set(f.Name, s)
	}
}

func scalar(value any) (string, error) {
	switch v := value.(type) {
	case string, json.Number, bool:
		return fmt.Sprint(v), nil
	}
	return "", fmt.Errorf("%v is no single value", value)
}

// configurable gives a role's command --config and --print-config.
func configurable(c *cobra.Command) *cobra.Command {
	var show bool
	c.Flags().String("config", "", "YAML file of settings that have the names of these flags")
	c.Flags().BoolVar(&show, "print-config", false, "print the settings as YAML, those that were not given as comments, and end")
	run := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		if show {
			return printConfig(c.OutOrStdout(), c)
		}
		return run(c, args)
	}
	return c
}

// printConfig writes what --config takes: each setting with its meaning.
func printConfig(w io.Writer, c *cobra.Command) error {
	fmt.Fprintf(w, "# Settings of %s. What is commented out has its default.\n", c.CommandPath())
	var err error
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if unsettable(f.Name) || f.Name == "config" {
			return
		}
		b, failed := json.Marshal(plainValue(f))
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("writing %s: %w", f.Name, failed))
			return
		}
		mark := "#"
		if f.Changed {
			mark = ""
		}
		fmt.Fprintf(w, "\n# %s\n%s%s: %s\n", f.Usage, mark, f.Name, b)
	})
	return err
}

// plainValue is a flag's value as YAML has it.
func plainValue(f *pflag.Flag) any {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return append([]string{}, list.GetSlice()...)
	}
	switch s := f.Value.String(); f.Value.Type() {
	case "bool", "int", "uint16", "uint32":
		return json.RawMessage(s)
	default:
		return s
	}
}
