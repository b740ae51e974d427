package flow

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"muster/internal/testkit"

	"github.com/google/go-cmp/cmp"
)

// examplesOfTheGuide says what the directory examples of the guide (26.0.0) show in a delta: by whom
// they are suppressed, and their state. None is visible: of the 16 that have a state, all but one
// are suppressed by themselves or by their owners, and Organization 2 is inactive. The two
// Provenance are about a suppressed Practitioner.
var examplesOfTheGuide = map[string]string{
	"Endpoint/example-hcpd-endpoint-referral":                        "suppressed by organisation-initiated, status active",
	"Endpoint/example-hcpd-endpoint-smd":                             "suppressed by organisation-initiated, status off",
	"HealthcareService/example-healthconnect-healthcareservice-1":    "suppressed by organisation-initiated, active true", // inherited from Organization 1
	"HealthcareService/example-healthconnect-healthcareservice-2":    "suppressed by organisation-initiated, active true",
	"Location/example-healthconnect-medical-centre-location-1":       "suppressed by organisation-initiated, status inactive",
	"Location/example-healthconnect-mobile-healthcare-unit-1":        "suppressed by organisation-initiated, status active", // inherited
	"Location/example-healthconnect-mobile-unit-coverage-area-1":     "suppressed by organisation-initiated, status inactive",
	"Location/example-healthconnect-service-coverage-area-balmain-1": "suppressed by organisation-initiated, status active",
	"Location/example-healthconnect-virtual-telehealth-service-1":    "suppressed by organisation-initiated, status active", // inherited
	"Organization/example-healthconnect-organization-1":              "suppressed by organisation-initiated, active true",
	"Organization/example-healthconnect-organization-2":              "active false",
	"Practitioner/example-balmain-practitioner-1":                    "suppressed by practitioner-initiated",
	"Practitioner/example-healthconnect-practitioner-1":              "suppressed by practitioner-initiated",
	"Practitioner/external-hcpd-practitioner-record":                 "suppressed by practitioner-initiated, active false",
	"PractitionerRole/example-healthconnect-practitionerrole-1":      "suppressed by organisation-initiated practitioner-initiated, active true", // inherited from both
	"PractitionerRole/example-healthconnect-practitionerrole-2":      "suppressed by organisation-initiated practitioner-initiated, active true", // the second one inherited
	"Provenance/provenance-practitioner-name-update":                 "",
	"Provenance/provenance-practitioner-phone-update":                "",
}

// TestDirectoryOfTheGuide loads the directory examples of the guide and compares what clients see
// with a table that is written by hand. The two export requests of the guide are accepted.
func TestDirectoryOfTheGuide(t *testing.T) {
	t.Attr("requirements", "KO-22 VI-01 VI-08 VI-09 VI-14 SU-04 SU-05 SU-07 SU-08")
	folder := filepath.Join(shared, "ig-examples")
	files, _ := filepath.Glob(filepath.Join(folder, "*.json"))
	files = slices.DeleteFunc(files, func(f string) bool { return strings.HasPrefix(filepath.Base(f), "Parameters-") })
	if len(files) == 0 {
		t.Skipf("%s does not exist: the examples of the guide are not part of the project", folder)
	}
	onBothDatabases(t, func(t *testing.T, newDeployment func(*testing.T) deployment) {
		p := newDeployment(t)
		p.load(t, files...) // fails if one is refused
		s := p.serve(t, "")

		delta := map[string]string{}
		all := strings.TrimSuffix(allTypes, "]}") + `,{"name":"_since","valueInstant":"2020-01-01T00:00:00Z"}]}`
		for _, file := range s.wait(s.kickOff(all)).Output {
			for line := range strings.Lines(string(get(t, file.URL))) {
				name, shown := shownState(t, line)
				if file.Type != "List" {
					delta[name] = shown
				}
			}
		}
		if diff := cmp.Diff(examplesOfTheGuide, delta); diff != "" {
			t.Errorf("a delta shows (-want +got):\n%s", diff)
		}
		if m := s.wait(s.kickOff(allTypes)); len(m.Output) > 0 {
			t.Errorf("a full export holds %v", exported(t, m))
		}
		for name := range examplesOfTheGuide {
			typ, id, _ := strings.Cut(name, "/")
			if _, status, err := testkit.Fetch(t.Context(), s.Base+"/"+name, nil); err != nil || status != 404 {
				t.Errorf("a read of %s is answered with %d, %v", name, status, err)
			}
			body, status, err := testkit.Fetch(t.Context(), s.Base+"/"+typ+"?_id="+id, map[string]string{"Accept": "application/fhir+json"})
			if err != nil || status != 200 || !strings.Contains(string(body), `"total":0`) {
				t.Errorf("a search for %s is answered with %d, %v:\n%s", name, status, err, body)
			}
		}

		// The requests ask for cardiology in Balmain, the second one in any state. No service of the
		// examples is of that kind, the coverage area of Balmain has no position, the roles are in
		// Sydney, and the Provenance is about Practitioners.
		for _, n := range []string{"1", "2"} {
			body, err := os.ReadFile(filepath.Join(folder, "Parameters-example-hcpd-export-request-parameters-"+n+".json"))
			if err != nil {
				t.Fatal(err)
			}
			if m := s.wait(s.kickOff(string(body))); len(m.Output) > 0 || m.Message == "" {
				t.Errorf("export request %s is answered with %+v, want no resources", n, m)
			}
		}
	})
}

// shownState returns the name of a resource, and by whom it is suppressed and its state as it shows
// them.
func shownState(t *testing.T, line string) (name, shown string) {
	t.Helper()
	var r struct {
		ResourceType, ID, Status string
		Active                   *bool
		Extension                []struct {
			URL       string
			Extension []struct {
				ValueCodeableConcept struct{ Coding []struct{ Code string } }
			}
		}
	}
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, e := range r.Extension {
		if !strings.HasSuffix(e.URL, "/suppressed") {
			continue
		}
		by := "suppressed by"
		for _, part := range e.Extension {
			for _, c := range part.ValueCodeableConcept.Coding {
				by += " " + c.Code
			}
		}
		parts = append(parts, by)
	}
	switch {
	case r.Active != nil && *r.Active:
		parts = append(parts, "active true")
	case r.Active != nil:
		parts = append(parts, "active false")
	case r.Status != "":
		parts = append(parts, "status "+r.Status)
	}
	return r.ResourceType + "/" + r.ID, strings.Join(parts, ", ")
}
