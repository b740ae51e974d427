package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
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

// environment is the resolver of values from the environment. The parser reads these itself;
// environment refuses those that are not valid first, since the errors of the parser repeat them.
type environment struct{}

// Validate implements [kong.Resolver]. Unknown variables are a warning only.
func (environment) Validate(*kong.Application) error { return nil }

// Resolve implements [kong.Resolver]. It yields no value.
func (environment) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Tag.Envs {
		if value, ok := os.LookupEnv(name); ok {
			if err := checkUnseen(flag, value); err != nil {
				return nil, fmt.Errorf("the environment variable %s: %w", name, err)
			}
		}
	}
	return nil, nil
}

// isInEnvironment reports whether the environment sets an option, so that a configuration file does
// not. As for other programs, an empty variable is one that is not set.
func isInEnvironment(flag *kong.Flag) bool {
	return slices.ContainsFunc(flag.Tag.Envs, func(name string) bool { return os.Getenv(name) != "" })
}

// checkUnseen returns an error if the value of an option is not valid. The error says what is
// expected, and does not repeat the value: one that was not written on the command line may be a
// secret that belongs elsewhere.
func checkUnseen(flag *kong.Flag, value string) error {
	if decodes(flag, value) == nil {
		return nil
	}
	const standIn = "…"
	if err := decodes(flag, standIn); err != nil {
		return err
	}
	return errors.New("its value is not valid")
}

// decodes returns an error if a text is not a value of an option. It does not set the option.
func decodes(flag *kong.Flag, text string) error {
	option := *flag.Value
	target := reflect.New(option.Target.Type()).Elem()
	if target.Kind() == reflect.Pointer {
		target.Set(reflect.New(target.Type().Elem()))
	}
	scan := kong.ScanFromTokens(kong.Token{Type: kong.FlagValueToken, Value: text})
	if err := option.Mapper.Decode(&kong.DecodeContext{Value: &option, Scan: scan}, target); err != nil {
		return err
	}
	if option.Enum != "" && !option.EnumMap()[text] {
		return fmt.Errorf("write one of %s", strings.Join(option.EnumSlice(), ", "))
	}
	return nil
}

// unknownVariables returns the names of the variables that set no option, sorted. Variables of
// tests are not counted.
func unknownVariables(commands *kong.Application, environment []string) []string {
	known := []string{failpoint.Variable}
	for _, flag := range flagsOf(commands.Node) {
		known = append(known, flag.Tag.Envs...)
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
