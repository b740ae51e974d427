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
	"slices"
	"strings"
	"testing"

	"muster/internal/testkit"

	"github.com/google/go-cmp/cmp"
)

// shared is the folder of test data that are not part of the project.
var shared = filepath.Join("..", "..", "..", "shared", "data")

// allTypes requests all seven types.
var allTypes = testkit.Parameters("",
	"Organization?_lastUpdated=ge1900-01-01T00:00:00Z", "Location?_lastUpdated=ge1900-01-01T00:00:00Z",
	"Endpoint?_lastUpdated=ge1900-01-01T00:00:00Z", "HealthcareService?_lastUpdated=ge1900-01-01T00:00:00Z",
	"Practitioner?_lastUpdated=ge1900-01-01T00:00:00Z", "PractitionerRole?_lastUpdated=ge1900-01-01T00:00:00Z",
	"Provenance?_lastUpdated=ge1900-01-01T00:00:00Z")

// TestPublicTestData loads the public Australian test resources and compares a national
// export with the resources that are visible by their own state. The test determines that
// from the source without muster's code.
func TestPublicTestData(t *testing.T) {
	t.Attr("requirements", "KO-24 KO-39 MA-04 RE-07 VI-01 VI-03 VI-09 VI-15")
	path := filepath.Join(shared, "au-fhir-test-data.ndjson.gz")
	want := visible(t, path)

	p := newDeployment(t)
	rejects := filepath.Join(t.TempDir(), "rejects.ndjson")
	out, err := muster.Run("load", "--data", p.data, "--rejects", rejects, path)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Fatalf("muster load ended with %v, want exit code 3 for rejected resources\n%s", err, out)
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
			t.Errorf("a rejected resource without file, line or reason: %s", line)
		}
	}

	s := p.serve(t, "", "--part-bytes", "100000")
	got := map[string]bool{}
	for _, o := range s.wait(s.kickOff(allTypes)).Output {
		lines := bytes.Split(bytes.TrimSuffix(get(t, o.URL), []byte("\n")), []byte("\n"))
		if len(lines) != o.Count {
			t.Errorf("%d lines in a file of %s, the manifest says %d", len(lines), o.Type, o.Count)
		}
		for _, line := range lines {
			var r struct{ ResourceType, ID string }
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatalf("an invalid line: %v", err)
			}
			if r.ResourceType != o.Type {
				t.Errorf("a %s in a file of %s", r.ResourceType, o.Type)
			}
			if key := r.ResourceType + "/" + r.ID; got[key] {
				t.Errorf("%s is repeated", key)
			} else {
				got[key] = true
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-visible by its own state, +exported:\n%s", diff)
	}
}

// visible reads the source and returns Type/id of the resources that are visible by their
// own state; the last resource of an id counts.
func visible(t *testing.T, path string) map[string]bool {
	t.Helper()
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("%s does not exist: the public test data are not part of the project", path)
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

// TestExamplesOfTheGuide sends the five requests of the guide's submission page to a
// directory with resources that match and resources that do not (testdata/guide.ndjson).
func TestExamplesOfTheGuide(t *testing.T) {
	t.Attr("requirements", "KO-22 KO-26 KO-29 KO-30 KO-34 KO-38 SR-52 VI-16")
	onBothDatabases(t, func(t *testing.T, newDeployment func(*testing.T) deployment) {
		p := newDeployment(t)
		p.load(t, filepath.Join("testdata", "guide.ndjson"))
		s := p.serve(t, "")
		balmain := []string{
			"Location?address-city=Balmain&address-postalcode=2041&near=-33.8607|151.1803|100",
			"HealthcareService?service-type=http://snomed.info/sct|789718008&location.address-city=Balmain&location.address-postalcode=2041",
			"Organization?_has:HealthcareService:organization:service-type=http://snomed.info/sct|789718008",
			"PractitionerRole?location.address-city=Balmain&location.address-postalcode=2041",
			"Practitioner?_has:PractitionerRole:practitioner:location.address-city=Balmain",
		}
		for _, c := range []struct{ name, body, want string }{
			{"1 cardiology in Balmain", testkit.Parameters("", balmain...), "HealthcareService/cardio Location/balmain " +
				"Organization/centre Organization/far-cardiology Practitioner/anna Practitioner/bob PractitionerRole/anna-here"},
			{"3 proximity", testkit.Parameters("", "Location?near=-33.8136|150.9996|25"), "Location/balmain Location/parramatta"},
			{"4 by HPI-O", testkit.Parameters("", "Organization?identifier=8003626566707032"), "Organization/centre"},
			{"5 by ABN", testkit.Parameters("", "Organization?identifier=41824753556"), "Organization/abn"},
		} {
			status, err := s.KickOff(c.body)
			if err != nil {
				t.Errorf("example %s: %v", c.name, err)
				continue
			}
			if diff := cmp.Diff(strings.Fields(c.want), exported(t, s.wait(status))); diff != "" {
				t.Errorf("example %s (-want +got):\n%s", c.name, diff)
			}
		}

		// The second example names seven types and has filters for five.
		two := strings.Replace(testkit.Parameters("2025-02-01T00:00:00Z", balmain...), `"_type","valueString":"Location"`, `"_type","valueString":"Location,Endpoint,Provenance"`, 1)
		_, err := s.KickOff(two)
		if err == nil {
			t.Fatal("example 2 is not rejected")
		}
		for _, want := range []string{"400 Bad Request", "Endpoint", "Provenance", "_typeFilter"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("example 2: the error does not contain %s:\n%v", want, err)
			}
		}
	})
}

// exported returns Type/id of all resources in the files of an export, sorted.
func exported(t *testing.T, m testkit.Manifest) []string {
	t.Helper()
	var all []string
	for _, file := range m.Output {
		for line := range bytes.Lines(get(t, file.URL)) {
			var r struct{ ResourceType, ID string }
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatal(err)
			}
			all = append(all, r.ResourceType+"/"+r.ID)
		}
	}
	slices.Sort(all)
	return all
}
