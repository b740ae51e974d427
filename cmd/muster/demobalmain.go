package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// demoSeed is the country that the demonstration shows.
const demoSeed = 42

// balmain is the cardiology practice in Balmain 2041 of the guide's first example,
// which a synthetic directory has at every scale: nobody in it is hidden.
type balmain struct {
	location      string
	services      int
	roles         int
	practitioners []string // ids, each once
}

// found is the part of a record by which the practice is known.
type found struct {
	ID      string
	Address json.RawMessage
	Type    []struct{ Coding []struct{ Code string } }

	Practitioner struct{ Reference string }
	Location     []struct{ Reference string }
}

const cardiology = "789718008"

// findBalmain looks for the practice in the files that were made.
func findBalmain(made string) (*balmain, error) {
	b := &balmain{}
	err := errors.Join(
		eachLine(filepath.Join(made, "Location.ndjson"), func(r found) {
			var address struct{ City, PostalCode string }
			if json.Unmarshal(r.Address, &address) == nil && b.location == "" && address.City == "Balmain" && address.PostalCode == "2041" {
				b.location = r.ID
			}
		}),
		eachLine(filepath.Join(made, "HealthcareService.ndjson"), func(r found) {
			if b.at(r) && len(r.Type) > 0 && len(r.Type[0].Coding) > 0 && r.Type[0].Coding[0].Code == cardiology {
				b.services++
			}
		}),
		eachLine(filepath.Join(made, "PractitionerRole.ndjson"), func(r found) {
			if !b.at(r) {
				return
			}
			b.roles++
			if id := strings.TrimPrefix(r.Practitioner.Reference, "Practitioner/"); !slices.Contains(b.practitioners, id) {
				b.practitioners = append(b.practitioners, id)
			}
		}),
	)
	if err == nil && b.location == "" {
		err = errors.New("the synthetic directory has no location in Balmain 2041")
	}
	return b, err
}

// at tells whether a service or role belongs to the practice.
func (b *balmain) at(r found) bool {
	return slices.ContainsFunc(r.Location, func(l struct{ Reference string }) bool { return l.Reference == "Location/"+b.location })
}

func eachLine(path string, do func(found)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := json.NewDecoder(bufio.NewReader(f))
	for {
		var r found
		if err := lines.Decode(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		do(r)
	}
}

// filters are the five filters of the demonstration, within what searches
// understand today: the shape of the guide's Example 1 without chains.
func (b *balmain) filters() []string {
	return []string{
		"Location?address-city=Balmain&address-postalcode=2041",
		"HealthcareService?service-type=http://snomed.info/sct|" + cardiology + "&location=Location/" + b.location,
		"Organization?name=Balmain Heart Centre",
		"PractitionerRole?location=Location/" + b.location,
		"Practitioner?_id=" + strings.Join(b.practitioners, ","),
	}
}

// check holds the resources that came, by type, against what was made: the
// answer must be whole and have nothing else.
func (b *balmain) check(came map[string]int) error {
	if len(came) != 5 || came["Location"] == 0 || came["Organization"] == 0 {
		return fmt.Errorf("the export brought %v, want a file of each of five types", came)
	}
	for name, want := range map[string]int{"HealthcareService": b.services, "PractitionerRole": b.roles, "Practitioner": len(b.practitioners)} {
		if came[name] != want {
			return fmt.Errorf("the export brought %d %s resources, the practice in Balmain has %d", came[name], name, want)
		}
	}
	return nil
}
