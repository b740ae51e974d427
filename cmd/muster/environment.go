package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"muster/internal/failpoint"

	"github.com/alecthomas/kong"
)

// variablePrefix begins the names of the environment variables that set options.
const variablePrefix = "MUSTER_"

// warnOfVariables warns of environment variables that set no option of any command: their names
// are probably misspelt. It prints no values, which may be secret.
func warnOfVariables(w io.Writer, commands *kong.Application, environment []string) {
	if unknown := unknownVariables(commands, environment); len(unknown) > 0 {
		fmt.Fprintf(w, "warning: no command has an option for %s: correct the name, or unset the variable\n", strings.Join(unknown, ", "))
	}
}

// unknownVariables returns the names of the variables that set no option, sorted. Variables of
// tests are not counted.
func unknownVariables(commands *kong.Application, environment []string) []string {
	known := []string{failpoint.Variable}
	for _, node := range append([]*kong.Node{commands.Node}, commands.Children...) {
		for _, flag := range node.Flags {
			known = append(known, flag.Tag.Envs...)
		}
	}
	var unknown []string
	for _, variable := range environment {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, variablePrefix) && !strings.HasPrefix(name, variablePrefix+"TEST_") && !slices.Contains(known, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown
}
