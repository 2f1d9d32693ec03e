package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// counted are the errors of cobra's own checks, which count arguments and do not
// name them.
var counted = regexp.MustCompile(`^(accepts|requires|unknown command) `)

// explainArgs lets every command say which arguments it takes when it was given
// others, where cobra only counts them. What a command says itself stays.
func explainArgs(c *cobra.Command) {
	for _, sub := range c.Commands() {
		explainArgs(sub)
	}
	if c.HasSubCommands() && !c.Runnable() {
		c.Args, c.RunE = cobra.ArbitraryArgs, chooseCommand
		return
	}
	check := c.Args
	if check == nil {
		return
	}
	c.Args = func(c *cobra.Command, args []string) error {
		err := check(c, args)
		if err == nil || !counted.MatchString(err.Error()) {
			return err
		}
		_, wants, _ := strings.Cut(c.Use, " ")
		if wants == "" {
			wants = "no argument"
		}
		return fmt.Errorf("%s takes %s, and was given %s; %s --help tells more", c.CommandPath(), wants, given(args), c.CommandPath())
	}
}

// chooseCommand runs a command that only groups others: it shows its help, and
// refuses what is none of them, which cobra takes for a wish for help as well.
func chooseCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return c.Help()
	}
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	c.SuggestionsMinimumDistance = 2 // letters
	text := fmt.Sprintf("%s has no command %q", c.CommandPath(), args[0])
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("%s; did you mean %s?", text, strings.Join(near, " or "))
	}
	return fmt.Errorf("%s; its commands are %s", text, strings.Join(names, ", "))
}

// given lists arguments for an error.
func given(args []string) string {
	if len(args) == 0 {
		return "none"
	}
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = strconv.Quote(a)
	}
	return strings.Join(quoted, " ")
}
