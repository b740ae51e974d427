package flow

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"muster/internal/testkit"

	"github.com/google/go-cmp/cmp"
)

// shared is where data lies that tests may read but the project does not contain.
var shared = filepath.Join("..", "..", "..", "shared", "data")

// everything asks for all seven types.
var everything = testkit.Parameters("",
	"Organization?_lastUpdated=ge1900-01-01T00:00:00Z", "Location?_lastUpdated=ge1900-01-01T00:00:00Z",
	"Endpoint?_lastUpdated=ge1900-01-01T00:00:00Z", "HealthcareService?_lastUpdated=ge1900-01-01T00:00:00Z",
	"Practitioner?_lastUpdated=ge1900-01-01T00:00:00Z", "PractitionerRole?_lastUpdated=ge1900-01-01T00:00:00Z",
	"Provenance?_lastUpdated=ge1900-01-01T00:00:00Z")

// TestPublicTestData loads the public Australian test resources and compares a
// national export with what their own state makes visible, worked out here from
// the source and by nothing of muster's.
func TestPublicTestData(t *testing.T) {
	t.Attr("requirements", "KO-24 KO-39 MA-04 RE-07 VI-01 VI-03 VI-09 VI-15")
	path := filepath.Join(shared, "au-fhir-test-data.ndjson.gz")
	want := visible(t, path)

	p := newPlace(t)
	rejects := filepath.Join(t.TempDir(), "rejects.ndjson")
	out, err := muster.Run("load", "--data", p.data, "--rejects", rejects, path)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Fatalf("muster load ended with %v, want exit code 3 for refusals\n%s", err, out)
	}
	if !regexp.MustCompile(`(?m)^read +1,131$`).MatchString(out) {
		t.Errorf("not all 1,131 resources were read:\n%s", out)
	}
	refused, err := os.ReadFile(rejects)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(refused) {
		var r struct {
			File, Reason string
			Line         int
		}
		if err := json.Unmarshal(line, &r); err != nil || r.File == "" || r.Line == 0 || r.Reason == "" {
			t.Errorf("a refusal without file, line or reason: %s", line)
		}
	}

	s := p.serve(t, "", "--part-bytes", "100000")
	got := map[string]bool{}
	for _, o := range s.wait(s.kickOff(everything)).Output {
		lines := bytes.Split(bytes.TrimSuffix(get(t, o.URL), []byte("\n")), []byte("\n"))
		if len(lines) != o.Count {
			t.Errorf("%d lines in a file of %s, the manifest says %d", len(lines), o.Type, o.Count)
		}
		for _, line := range lines {
			var r struct{ ResourceType, ID string }
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatalf("a line that does not parse: %v", err)
			}
			if r.ResourceType != o.Type {
				t.Errorf("a %s in a file of %s", r.ResourceType, o.Type)
			}
			if key := r.ResourceType + "/" + r.ID; got[key] {
				t.Errorf("%s is there twice", key)
			} else {
				got[key] = true
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-visible by its own state, +exported:\n%s", diff)
	}
}

// visible reads the source and returns Type/id of what its own state shows; the
// last resource of an id counts.
func visible(t *testing.T, path string) map[string]bool {
	t.Helper()
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("%s is not there: the public test data are not part of the project", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var r struct {
			ResourceType, ID, Status string
			Active                   *bool
			Extension                []struct{ URL string }
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		if r.ID == "" {
			continue
		}
		show := r.Active == nil || *r.Active
		if r.ResourceType == "Location" || r.ResourceType == "Endpoint" {
			show = r.Status == "" || r.Status == "active"
		}
		for _, e := range r.Extension {
			show = show && !strings.HasSuffix(e.URL, "/suppressed")
		}
		all[r.ResourceType+"/"+r.ID] = show
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	for key, show := range all {
		if !show {
			delete(all, key)
		}
	}
	return all
}

// TestExamplesOfTheGuide posts the five requests of the guide's submission page.
func TestExamplesOfTheGuide(t *testing.T) {
	t.Attr("requirements", "KO-22 KO-26 KO-29 KO-30 KO-38")
	p := newPlace(t)
	source := filepath.Join(t.TempDir(), "organizations.ndjson")
	if err := os.WriteFile(source, []byte(
		`{"resourceType":"Organization","id":"by-hpio","active":true,"name":"By HPI-O","identifier":[{"system":"http://ns.electronichealth.net.au/id/hi/hpio/1.0","value":"8003626566707032"}]}
{"resourceType":"Organization","id":"by-abn","active":true,"name":"By ABN","identifier":[{"system":"http://hl7.org.au/id/abn","value":"41824753556"}]}
{"resourceType":"Organization","id":"neither","active":true,"name":"Neither"}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	p.load(t, source)
	s := p.serve(t, "")

	balmain := []string{
		"Location?address-city=Balmain&address-postalcode=2041&near=-33.8607|151.1803|100",
		"HealthcareService?service-type=http://snomed.info/sct|789718008&location.address-city=Balmain&location.address-postalcode=2041",
		"Organization?_has:HealthcareService:organization:service-type=http://snomed.info/sct|789718008",
		"PractitionerRole?location.address-city=Balmain&location.address-postalcode=2041",
		"Practitioner?_has:PractitionerRole:practitioner:location.address-city=Balmain",
	}
	two := strings.Replace(testkit.Parameters("2025-02-01T00:00:00Z", balmain...), `"_type","valueString":"Location"`, `"_type","valueString":"Location,Endpoint,Provenance"`, 1)
	for _, c := range []struct {
		name, body string
		refused    []string // what the answer must say; nil for accepted
		found      string   // ids in the files of an accepted export
	}{
		{"1 cardiology in Balmain", testkit.Parameters("", balmain...), []string{
			`\"near\" at character 55`, `\"location.address-city=Balmain\" at character 65`, `\"location.address-postalcode=2041\" at character 48`,
			`\"_has:HealthcareService:organization`, `\"_has:PractitionerRole:practitioner`, `at character 14`}, ""},
		{"2 delta", two, []string{"Endpoint", "Provenance", "_typeFilter"}, ""},
		{"3 proximity", testkit.Parameters("", "Location?near=-33.8136|150.9996|25"), []string{`\"near\" at character 10`}, ""},
		{"4 by HPI-O", testkit.Parameters("", "Organization?identifier=8003626566707032"), nil, "by-hpio"},
		{"5 by ABN", testkit.Parameters("", "Organization?identifier=41824753556"), nil, "by-abn"},
	} {
		status, err := s.KickOff(c.body)
		if c.refused == nil {
			if err != nil {
				t.Errorf("example %s: %v", c.name, err)
				continue
			}
			m := s.wait(status)
			if len(m.Output) != 1 || !bytes.Contains(get(t, m.Output[0].URL), []byte(`"id":"`+c.found+`"`)) {
				t.Errorf("example %s: %+v", c.name, m)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), "400 Bad Request") {
			t.Errorf("example %s is not refused with 400: %v", c.name, err)
			continue
		}
		for _, want := range c.refused {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("example %s: the refusal does not say %s:\n%v", c.name, want, err)
			}
		}
	}
}
