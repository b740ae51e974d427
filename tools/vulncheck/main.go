// Command vulncheck reads the JSON output of govulncheck from standard input. It prints the
// vulnerabilities that the program calls and exits with code 1 if one is in a module of go.mod.
//
// A vulnerability in the standard library is only a warning: the remedy is a newer Go, which
// the machine that builds muster provides, not this repository.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// message is the part of a message of govulncheck that matters here.
type message struct {
	OSV *struct {
		ID      string `json:"id"`
		Summary string `json:"summary"`
	} `json:"osv"`
	Finding *struct {
		OSV          string `json:"osv"`
		FixedVersion string `json:"fixed_version"`
		Trace        []struct {
			Module   string `json:"module"`
			Version  string `json:"version"`
			Package  string `json:"package"`
			Function string `json:"function"`
		} `json:"trace"`
	} `json:"finding"`
}

func main() {
	failed, err := run(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "read the output of govulncheck:", err)
		os.Exit(2)
	}
	if failed {
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) (failed bool, err error) {
	summaries, found := map[string]string{}, map[string]string{}
	for d := json.NewDecoder(in); ; {
		var m message
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return false, err
		}
		if m.OSV != nil {
			summaries[m.OSV.ID] = m.OSV.Summary
		}
		// Findings without a function are in imported packages, but are not called.
		if f := m.Finding; f != nil && len(f.Trace) > 0 && f.Trace[0].Function != "" {
			at, level := f.Trace[0], "ERROR"
			if at.Module == "stdlib" {
				level = "warning"
			} else {
				failed = true
			}
			found[f.OSV] = fmt.Sprintf("%s: %s in %s@%s", level, at.Package, at.Module, at.Version)
			if f.FixedVersion != "" {
				found[f.OSV] += ", fixed in " + f.FixedVersion
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(found)) {
		fmt.Fprintf(out, "%s: %s: %s\n", id, found[id], summaries[id])
	}
	fmt.Fprintf(out, "%d vulnerabilities are called\n", len(found))
	return failed, nil
}
