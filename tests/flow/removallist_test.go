package flow

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"muster/internal/testkit"

	"github.com/google/go-cmp/cmp"
)

// TestCopyByRemovalList follows deltas as a client that gets no suppressed resources. It purges what
// the removal List names, by the identifiers of its own records, and then holds what a full export
// has.
func TestCopyByRemovalList(t *testing.T) {
	t.Attr("requirements", "RM-01 RM-03 RM-06 VI-17")
	const local = "http://digitalhealth.gov.au/fhir/hcpd/id/hcpd-local-identifier"
	organization := func(extension string) string {
		return `{"resourceType":"Organization","id":"clinic","name":"Clinic","identifier":[{"system":"http://ns.electronichealth.net.au/id/hi/hpio/1.0","value":"8003620000000000"}]` + extension + `}`
	}
	hidden := organization(`,"extension":[{"url":"http://digitalhealth.gov.au/fhir/cc/StructureDefinition/suppressed","extension":[` +
		`{"url":"suppressedBy","valueCodeableConcept":{"coding":[{"system":"http://digitalhealth.gov.au/fhir/cc/CodeSystem/responsible-party-type","code":"organisation-initiated"}]}},` +
		`{"url":"includeSelf","valueBoolean":true}]}]`)
	lines := []string{
		organization(""),
		`{"resourceType":"HealthcareService","id":"service","identifier":[{"system":"` + local + `","value":"s-1"}],"providedBy":{"reference":"Organization/clinic"}}`,
		`{"resourceType":"PractitionerRole","id":"role","organization":{"reference":"Organization/clinic"},"practitioner":{"reference":"Practitioner/anna"}}`,
		`{"resourceType":"Practitioner","id":"anna","name":[{"family":"Smith"}]}`,
		`{"resourceType":"Location","id":"elsewhere","name":"Elsewhere"}`,
	}
	onBothDatabases(t, func(t *testing.T, newDeployment func(*testing.T) deployment) {
		p := newDeployment(t)
		load := func(lines ...string) {
			t.Helper()
			file := filepath.Join(t.TempDir(), "lines.ndjson")
			if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
				t.Fatal(err)
			}
			p.load(t, file)
		}
		load(lines...)
		s := p.serve(t, "", "--behind-proxy") // other machines can reach it, so its clients get no suppressed resources
		full := func() map[string]string {
			t.Helper()
			held := map[string]string{}
			update(t, s.wait(s.kickOff(allTypes)), held)
			return held
		}
		m := s.wait(s.kickOff(allTypes))
		held := map[string]string{}
		update(t, m, held)
		follow := func() {
			t.Helper()
			m = s.wait(s.kickOff(strings.TrimSuffix(allTypes, "]}") + `,{"name":"_since","valueInstant":"` + m.TransactionTime + `"}]}`))
			update(t, m, held)
		}

		load(hidden)
		follow()
		if diff := cmp.Diff([]string{"Location/elsewhere", "Practitioner/anna"}, slices.Sorted(maps.Keys(held))); diff != "" {
			t.Errorf("after the suppression, the copy (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(full(), held); diff != "" {
			t.Errorf("after the suppression (-full export +copy):\n%s", diff)
		}

		load(organization(""))
		follow()
		if diff := cmp.Diff(full(), held); diff != "" || len(held) != len(lines) {
			t.Errorf("after the end of the suppression, the copy of %d resources (-full export +copy):\n%s", len(held), diff)
		}
	})
}

// update applies the files of an export to a copy: it stores the lines, and purges the records that
// have an identifier of the removal List.
func update(t *testing.T, m testkit.Manifest, held map[string]string) {
	t.Helper()
	type identifier struct{ System, Value string }
	type record struct {
		ResourceType, ID string
		Identifier       []identifier
		Entry            []struct {
			Item struct{ Identifier identifier }
		}
	}
	read := func(line string) (r record) {
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, file := range m.Output {
		for line := range strings.Lines(string(get(t, file.URL))) {
			r := read(line)
			if file.Type != "List" {
				held[r.ResourceType+"/"+r.ID] = line
			}
			for _, entry := range r.Entry {
				maps.DeleteFunc(held, func(_, line string) bool {
					return slices.Contains(read(line).Identifier, entry.Item.Identifier)
				})
			}
		}
	}
}
