package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"muster/internal/humanize"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// config is a configuration file. Its options apply to every command that has them; a
// section with the name of a command sets options of that command, and has precedence.
//
//	data: /srv/directory
//	serve:
//	  workers: 4
//	  tls-cert: /etc/muster/cert.pem
//
// An unknown key is an error: the option with the misspelt name would keep its default
// silently.
type config struct {
	options  map[string]entry
	sections map[string]map[string]entry
}

// entry is a value with the name of its option.
type entry struct {
	node *yaml.Node
	name string
}

// configFile is the option that names a configuration file.
type configFile string

// BeforeResolve adds the options of the file. The parser calls it.
func (configFile) BeforeResolve(a app, kctx *kong.Context, trace *kong.Path) error {
	name, _ := kctx.FlagValue(trace.Flag).(configFile)
	path := kong.ExpandPath(string(name))
	text, err := readConfig(a.ctx, path)
	if err != nil {
		return err
	}
	c, err := parseConfig(text)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	kctx.AddResolver(c)
	return nil
}

// maxConfig is the size of a configuration file, in bytes.
const maxConfig = 1 << 20

// readConfig reads a configuration file. It may be a pipe from a program, such as one that decrypts
// it. readConfig waits for that program until ctx ends.
func readConfig(ctx context.Context, path string) ([]byte, error) {
	type result struct {
		text []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		file, err := os.Open(path)
		if err != nil {
			done <- result{err: err}
			return
		}
		defer file.Close()
		text, err := io.ReadAll(io.LimitReader(file, maxConfig+1))
		if err == nil && len(text) > maxConfig {
			err = fmt.Errorf("%s is too large for a configuration file: name a file of at most %s", path, humanize.Bytes(maxConfig))
		}
		done <- result{text, err}
	}()
	select {
	case r := <-done:
		return r.text, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("read %s: %w", path, context.Cause(ctx))
	}
}

func parseConfig(text []byte) (config, error) {
	var file yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(text)).Decode(&file); errors.Is(err, io.EOF) {
		return config{}, nil // an empty file
	} else if err != nil {
		return config{}, fmt.Errorf("parse YAML: %w", err)
	}
	c := config{options: map[string]entry{}, sections: map[string]map[string]entry{}}
	err := eachKey(file.Content[0], func(key, value *yaml.Node) error {
		if value.Kind != yaml.MappingNode {
			c.options[key.Value] = entry{value, key.Value}
			return nil
		}
		section := map[string]entry{}
		c.sections[key.Value] = section
		return eachKey(value, func(k, v *yaml.Node) error {
			section[k.Value] = entry{v, k.Value}
			return nil
		})
	})
	return c, err
}

// eachKey calls yield for each entry of a mapping. A duplicate key is an error.
func eachKey(mapping *yaml.Node, yield func(key, value *yaml.Node) error) error {
	if mapping.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: write NAME: VALUE, with the name of an option or of a command", mapping.Line)
	}
	seen := map[string]bool{}
	for n := 0; n+1 < len(mapping.Content); n += 2 {
		key := mapping.Content[n]
		if seen[key.Value] {
			return fmt.Errorf("line %d: duplicate key %s: write it once", key.Line, key.Value)
		}
		seen[key.Value] = true
		if err := yield(key, mapping.Content[n+1]); err != nil {
			return err
		}
	}
	return nil
}

// Validate implements [kong.Resolver]. It checks that every key is an option of a command.
func (c config) Validate(app *kong.Application) error {
	all := optionsOf(app.Node)
	commands := map[string][]string{}
	for _, command := range app.Children {
		commands[command.Name] = optionsOf(command)
	}
	var unknown []error
	for name, e := range c.options {
		if !slices.Contains(all, name) {
			unknown = append(unknown, fmt.Errorf("the configuration file, line %d: no command has an option %q: see 'muster COMMAND --help' for the names, and write them without leading dashes", e.node.Line, name))
		}
	}
	for section, entries := range c.sections {
		options, ok := commands[section]
		for name, e := range entries {
			switch {
			case !ok:
				unknown = append(unknown, fmt.Errorf("the configuration file, line %d: there is no command %q: name a section after a command", e.node.Line-1, section))
			case !slices.Contains(options, name):
				unknown = append(unknown, fmt.Errorf("the configuration file, line %d: 'muster %s' has no option %q: see 'muster %[2]s --help' for the names, and write them without leading dashes", e.node.Line, section, name))
			}
		}
	}
	slices.SortFunc(unknown, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	if len(unknown) == 0 {
		return nil
	}
	return unknown[0]
}

// commandLineOnly are the options that a file cannot set.
var commandLineOnly = []string{"help", "config", "version"}

// optionsOf lists the options of a command, and of the commands below it, that a file may set.
func optionsOf(n *kong.Node) (names []string) {
	for _, flag := range flagsOf(n) {
		if !slices.Contains(commandLineOnly, flag.Name) {
			names = append(names, flag.Name)
		}
	}
	return names
}

// flagsOf returns the options of a command and of the commands below it.
func flagsOf(n *kong.Node) []*kong.Flag {
	flags := slices.Clone(n.Flags)
	for _, child := range n.Children {
		flags = append(flags, flagsOf(child)...)
	}
	return flags
}

// section returns the name of the section of a command: that of the command at the top level.
func section(n *kong.Node) string {
	for n.Parent != nil && n.Parent.Type == kong.CommandNode {
		n = n.Parent
	}
	return n.Name
}

// Resolve implements [kong.Resolver].
func (c config) Resolve(_ *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	e, ok := c.options[flag.Name]
	if node := parent.Node(); node != nil && node.Type == kong.CommandNode {
		if own, has := c.sections[section(node)][flag.Name]; has {
			e, ok = own, true
		}
	}
	if !ok || slices.Contains(commandLineOnly, flag.Name) || isInEnvironment(flag) {
		return nil, nil
	}
	node := e.node
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.ScalarNode {
		return nil, fmt.Errorf("the configuration file, line %d: %s has a list as its value: write one value", e.node.Line, e.name)
	}
	if err := checkUnseen(flag, node.Value); err != nil {
		return nil, fmt.Errorf("the configuration file, line %d: %w", node.Line, err)
	}
	return node.Value, nil
}
