package flow

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"muster/internal/testkit"
)

// TestSuppressedByOptions checks that the options of the program decide which suppressed
// resources clients may see, in searches and exports, on both databases.
func TestSuppressedByOptions(t *testing.T) {
	t.Attr("req", "VI-07 VI-10 SU-01 MA-07 MA-11 RM-04")
	lines := filepath.Join(t.TempDir(), "lines.ndjson")
	err := os.WriteFile(lines, []byte(`{"resourceType":"Practitioner","id":"seen","name":[{"family":"Smith"}]}
{"resourceType":"Practitioner","id":"hidden","name":[{"family":"Smith"}],"extension":[{"url":"http://digitalhealth.gov.au/fhir/cc/StructureDefinition/suppressed","extension":[{"url":"suppressedBy","valueCodeableConcept":{"coding":[{"system":"http://digitalhealth.gov.au/fhir/cc/CodeSystem/responsible-party-type","code":"practitioner-initiated"}]}}]}],"identifier":[{"system":"http://ns.electronichealth.net.au/id/hi/hpii/1.0","value":"8003610000000000"}]}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	onBothDatabases(t, func(t *testing.T, newDeployment func(*testing.T) deployment) {
		for _, c := range []struct {
			options []string
			status  int // of a search for suppressed resources
			delta   int // resources in a delta
			lists   int // in its output
			message bool
		}{
			{nil, http.StatusOK, 2, 1, false},
			{[]string{"--no-compat-suppressed-search"}, http.StatusForbidden, 2, 1, false},
			{[]string{"--behind-proxy"}, http.StatusForbidden, 1, 1, false},
			{[]string{"--behind-proxy", "--no-compat-suppressed-search", "--removal-list", "off"}, http.StatusForbidden, 1, 0, true},
			{[]string{"--removal-list", "extension"}, http.StatusOK, 2, 0, false},
		} {
			t.Run(strings.Join(c.options, " "), func(t *testing.T) {
				p := newDeployment(t)
				p.load(t, lines)
				s := p.serve(t, "", c.options...)
				if _, status, err := testkit.Fetch(t.Context(), s.Base+"/Practitioner?family=smith&suppressed=true", nil); err != nil || status != c.status {
					t.Errorf("a search is answered with %d, %v, want %d", status, err, c.status)
				}
				_, err := s.KickOff(testkit.Parameters("", "Practitioner?family=smith&suppressed=true"))
				if refused := err != nil && strings.Contains(err.Error(), "forbidden"); refused != (c.status == http.StatusForbidden) || err != nil && !refused {
					t.Errorf("a kick-off is answered with %v", err)
				}
				m := s.wait(s.kickOff(testkit.Parameters("2020-01-01T00:00:00Z", "Practitioner?_lastUpdated=ge1900-01-01")))
				if len(m.Output) != 1+c.lists || m.Output[0].Count != c.delta {
					t.Errorf("the delta holds %+v, want %d", m.Output, c.delta)
				}
				if says := strings.HasPrefix(m.Message, "Suppressed resources are left out"); says != c.message {
					t.Errorf("the manifest says %q", m.Message)
				}
			})
		}
	})
}
