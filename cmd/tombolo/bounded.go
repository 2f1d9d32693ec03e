package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/pflag"
)

// bounded is a flag of 16 bits that names its bounds when it is given what is no such
// number. One that is beyond them is left to the check of the configuration, which
// reports all of its mistakes at once.
type bounded struct {
	value    *uint16
	min, max uint16
}

func (b bounded) String() string { return strconv.Itoa(int(*b.value)) }

// Type is the word for the value in --help.
func (b bounded) Type() string { return "uint16" }

// Set implements pflag.Value.
func (b bounded) Set(text string) error {
	v, err := strconv.ParseUint(text, 0, 16)
	if err != nil {
		return fmt.Errorf("want a number, %d to %d", b.min, b.max)
	}
	*b.value = uint16(v)
	return nil
}

// portFlag adds a flag for a port; min is 0 where that means none.
func portFlag(flags *pflag.FlagSet, port *uint16, name string, standard, min uint16, usage string) {
	*port = standard
	flags.Var(bounded{port, min, 65535}, name, usage)
}
