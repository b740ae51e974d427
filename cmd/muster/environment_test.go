package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// printable are the options whose value errors may repeat wherever it comes from: names of files and
// folders, which the errors are about.
var printable = []string{"config", "data", "out", "audit-log", "tls-cert", "tls-key", "rejects", "warnings"}

// TestUnseenValues sets each option to a secret, in the environment and in a
// file. The command is refused, and names the variable or the line, but not the secret.
func TestUnseenValues(t *testing.T) {
	t.Chdir(t.TempDir())
	const secret = "hush-4711"
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "file.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	result := func(args ...string) (int, string) {
		var out bytes.Buffer
		code := run(app{ctx: t.Context(), stdin: strings.NewReader(""), stdout: &out, stderr: &out}, args)
		return code, out.String()
	}
	tested := map[string]bool{}
	for _, command := range model(t).Leaves(false) {
		for _, flag := range command.Flags {
			if slices.Contains(printable, flag.Name) || len(flag.Tag.Envs) == 0 || tested[flag.Name] {
				continue
			}
			tested[flag.Name] = true
			t.Run(command.Path()+"/"+flag.Name, func(t *testing.T) {
				args := append(strings.Fields(command.Path()), required(command, flag)...)
				code, out := result(append(args, "--config", write(flag.Name+": 'https://anna:"+secret+"@host'\n"))...)
				if code == exitOK || strings.Contains(out, secret) {
					t.Errorf("in a file: exit code %d, output %s", code, out)
				}
				t.Setenv(flag.Tag.Envs[0], secret)
				code, out = result(args...)
				if code == exitOK || strings.Contains(out, secret) {
					t.Errorf("in the environment: exit code %d, output %s", code, out)
				}
			})
		}
	}
	if len(tested) < 50 {
		t.Errorf("only %d options were tested", len(tested))
	}
}

// model returns the commands.
func model(t *testing.T) *kong.Application {
	t.Helper()
	parser, err := kong.New(&cli{}, append(valueOptions(), kong.DefaultEnvars("MUSTER"))...)
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model
}

// required returns the arguments that a command requires, apart from one option. Its directory does
// not exist.
func required(command *kong.Node, except *kong.Flag) (args []string) {
	for _, flag := range command.Flags {
		switch {
		case flag.Name == except.Name:
		case flag.Name == "data":
			args = append(args, "--data", "missing")
		case flag.Name == "out":
			args = append(args, "--out", "missing/out")
		}
	}
	return args
}
