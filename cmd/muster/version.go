package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"muster/internal/metrics"
)

// version is the version of the program if it is set at link time:
//
//	go build -ldflags "-X main.version=v1.2.3" ./cmd/muster
//
// If it is empty, the version comes from the build information.
var version string

// build identifies the build of this program.
type build struct {
	version   string // such as v1.2.3, a pseudo-version or "devel"
	revision  string // of the source; empty if it is not known
	committed string // time of the revision, as in RFC 3339; empty if it is not known
	modified  bool   // the source had changes that were not committed
}

// currentBuild returns the build of the running program.
func currentBuild() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return buildOf(version, info)
}

// buildOf returns the build that the information describes. The version that was set at
// link time has precedence.
func buildOf(linked string, info *debug.BuildInfo) build {
	main := info.Main.Version
	if main == "(devel)" {
		main = ""
	}
	b := build{version: cmp.Or(linked, main, "devel")}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.revision = s.Value
		case "vcs.time":
			b.committed = s.Value
		case "vcs.modified":
			b.modified = s.Value == "true"
		}
	}
	return b
}

// revisionText returns the revision for people.
func (b build) revisionText() string {
	text := cmp.Or(b.revision, "unknown")
	if b.modified {
		text += " (modified)"
	}
	return text
}

// committedText returns the time of the revision for people.
func (b build) committedText() string { return cmp.Or(b.committed, "unknown") }

// full returns the version with the beginning of the revision, for clients: v1.2.3 (0123456789ab).
func (b build) full() string {
	if b.revision == "" {
		return b.version
	}
	revision := b.revision[:min(len(b.revision), 12)]
	if b.modified {
		revision += ", modified"
	}
	return b.version + " (" + revision + ")"
}

// forMetrics returns the build as package metrics takes it.
func (b build) forMetrics() metrics.Build {
	return metrics.Build{Version: b.version, Revision: b.revisionText(), Committed: b.committedText()}
}

// String returns what `muster version` prints.
func (b build) String() string {
	return fmt.Sprintf("muster %s\nrevision %s\ncommitted %s\nbuilt with %s for %s/%s\nserves Health Connect Australia Provider Directory 26.0.0 and 0.3.0-preview (FHIR R4)",
		b.version, b.revisionText(), b.committedText(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// versionCmd is `muster version`.
type versionCmd struct{}

// Run prints the version of the program and of the guides that it serves.
func (versionCmd) Run(a app) error {
	_, err := fmt.Fprintln(a.stdout, currentBuild())
	return err
}
