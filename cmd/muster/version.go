package main

import "fmt"

// version is the version of the program.
const version = "0.1.0-dev"

// versionCmd is `muster version`.
type versionCmd struct{}

// Run prints the version of the program and of the guides it serves.
func (versionCmd) Run(a app) error {
	_, err := fmt.Fprintf(a.stdout, "muster %s\nserves Health Connect Australia Provider Directory 26.0.0 and 0.3.0-preview (FHIR R4)\n", version)
	return err
}
