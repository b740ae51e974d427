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
)

// demoSeed is the country that the demonstration shows.
const demoSeed = 42

// exampleOne are the filters of the guide's first export example, as printed:
// cardiology in Balmain 2041. A synthetic directory has such a practice at every
// scale.
var exampleOne = []string{
	"Location?address-city=Balmain&address-postalcode=2041&near=-33.8607|151.1803|100",
	"HealthcareService?service-type=http://snomed.info/sct|789718008&location.address-city=Balmain&location.address-postalcode=2041",
	"Organization?_has:HealthcareService:organization:service-type=http://snomed.info/sct|789718008",
	"PractitionerRole?location.address-city=Balmain&location.address-postalcode=2041",
	"Practitioner?_has:PractitionerRole:practitioner:location.address-city=Balmain",
}

const cardiology = "789718008"

// made is the part of a resource that Example 1 asks about.
type made struct {
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

	ProvidedBy   target
	Practitioner target
	Location     []target
}

type target struct{ Reference string }

// countExampleOne works out how many resources of each type Example 1 finds, from
// the files that were made and without any of the server's search: the
// demonstration holds the export against it.
func countExampleOne(folder string) (map[string]int, error) {
	counts := map[string]int{}
	inCity, inSuburb := map[string]bool{}, map[string]bool{} // Location/id
	providers, people := map[string]bool{}, map[string]bool{}
	err := errors.Join(
		eachVisible(folder, "Location", func(r made) {
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
		eachVisible(folder, "HealthcareService", func(r made) {
			if !r.offers(cardiology) {
				return
			}
			providers[r.ProvidedBy.Reference] = true
			if r.at(inSuburb) {
				counts["HealthcareService"]++
			}
		}),
		eachVisible(folder, "PractitionerRole", func(r made) {
			if r.at(inCity) {
				people[r.Practitioner.Reference] = true
			}
			if r.at(inSuburb) {
				counts["PractitionerRole"]++
			}
		}),
	)
	if err != nil {
		return nil, err
	}
	for name, wanted := range map[string]map[string]bool{"Organization": providers, "Practitioner": people} {
		err = errors.Join(err, eachVisible(folder, name, func(r made) {
			if wanted[name+"/"+r.ID] {
				counts[name]++
			}
		}))
	}
	if err == nil && len(counts) != len(exampleOne) {
		err = fmt.Errorf("the synthetic directory has something for %d of the %d filters only", len(counts), len(exampleOne))
	}
	return counts, err
}

// visible tells whether the resource is active and not suppressed.
func (r made) visible() bool {
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

// at tells whether the resource belongs to one of the places.
func (r made) at(places map[string]bool) bool {
	for _, l := range r.Location {
		if places[l.Reference] {
			return true
		}
	}
	return false
}

func (r made) offers(code string) bool {
	for _, t := range r.Type {
		for _, c := range t.Coding {
			if c.Code == code {
				return true
			}
		}
	}
	return false
}

// eachVisible reads the file of a type.
func eachVisible(folder, typeName string, do func(made)) error {
	path := filepath.Join(folder, typeName+".ndjson")
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := json.NewDecoder(bufio.NewReader(f))
	for {
		var r made
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

// checkExampleOne holds what came, by type, against what was made: the answer must
// be whole and have nothing else.
func checkExampleOne(came, want map[string]int) error {
	if !maps.Equal(came, want) {
		return fmt.Errorf("the export brought %v, the files that were made have %v", came, want)
	}
	return nil
}
