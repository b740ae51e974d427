package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"muster/internal/synth"
)

// demoSeed is the seed of the directory of the demonstration.
const demoSeed = 42

const cardiology = "789718008"

// exampleResource is the part of a resource that the filters of the example read.
type exampleResource struct {
	ID        string
	Active    *bool
	Status    string
	Extension []struct {
		URL       string
		Extension []struct {
			URL          string
			ValueBoolean *bool
		}
	}
	Address  json.RawMessage
	Position *struct{ Latitude float64 }
	Type     []struct{ Coding []struct{ Code string } }

	ProvidedBy   reference
	Practitioner reference
	Location     []reference
}

// reference is a Reference of a resource.
type reference struct{ Reference string }

// countExampleOne counts the resources of each type that match the example. It reads the
// generated files and uses no code of the server, so that the demonstration can check the
// export.
func countExampleOne(folder string) (map[string]int, error) {
	counts := map[string]int{}
	inCity, inSuburb := map[string]bool{}, map[string]bool{} // Location/id
	providers, practitioners := map[string]bool{}, map[string]bool{}
	err := errors.Join(
		eachVisible(folder, "Location", func(r exampleResource) {
			var address struct{ City, PostalCode string }
			if json.Unmarshal(r.Address, &address) != nil || !strings.HasPrefix(strings.ToLower(address.City), "balmain") {
				return
			}
			inCity["Location/"+r.ID] = true
			if strings.HasPrefix(address.PostalCode, "2041") {
				inSuburb["Location/"+r.ID] = true
				if r.Position != nil { // all of Balmain is within 100 km of it
					counts["Location"]++
				}
			}
		}),
		eachVisible(folder, "HealthcareService", func(r exampleResource) {
			if !r.offers(cardiology) {
				return
			}
			providers[r.ProvidedBy.Reference] = true
			if r.at(inSuburb) {
				counts["HealthcareService"]++
			}
		}),
		eachVisible(folder, "PractitionerRole", func(r exampleResource) {
			if r.at(inCity) {
				practitioners[r.Practitioner.Reference] = true
			}
			if r.at(inSuburb) {
				counts["PractitionerRole"]++
			}
		}),
	)
	if err != nil {
		return nil, err
	}
	for name, matches := range map[string]map[string]bool{"Organization": providers, "Practitioner": practitioners} {
		err = errors.Join(err, eachVisible(folder, name, func(r exampleResource) {
			if matches[name+"/"+r.ID] {
				counts[name]++
			}
		}))
	}
	if err == nil && len(counts) != len(synth.ExampleOne) {
		err = fmt.Errorf("the synthetic directory has matches for only %d of the %d filters", len(counts), len(synth.ExampleOne))
	}
	return counts, err
}

// visible reports whether the resource is active and not suppressed.
func (r exampleResource) visible() bool {
	if r.Active != nil && !*r.Active || r.Status != "" && r.Status != "active" {
		return false
	}
	for _, e := range r.Extension {
		if !strings.HasSuffix(e.URL, "/suppressed") {
			continue
		}
		hidden := true
		for _, part := range e.Extension {
			if part.URL == "includeSelf" && part.ValueBoolean != nil && !*part.ValueBoolean {
				hidden = false // its services and roles are hidden, not the Organization
			}
		}
		if hidden {
			return false
		}
	}
	return true
}

// at reports whether the resource refers to one of the locations.
func (r exampleResource) at(locations map[string]bool) bool {
	for _, l := range r.Location {
		if locations[l.Reference] {
			return true
		}
	}
	return false
}

// offers reports whether the resource has a type with the code.
func (r exampleResource) offers(code string) bool {
	for _, t := range r.Type {
		for _, c := range t.Coding {
			if c.Code == code {
				return true
			}
		}
	}
	return false
}

// eachVisible calls do for each visible resource in the file of a type.
func eachVisible(folder, typeName string, do func(exampleResource)) error {
	path := filepath.Join(folder, typeName+".ndjson")
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := json.NewDecoder(bufio.NewReader(f))
	for {
		var r exampleResource
		if err := lines.Decode(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if r.visible() {
			do(r)
		}
	}
}

// checkExampleOne compares the number of exported resources of each type with the
// expected number.
func checkExampleOne(got, want map[string]int) error {
	if !maps.Equal(got, want) {
		return fmt.Errorf("the export contains %v, but the generated files contain %v", got, want)
	}
	return nil
}
