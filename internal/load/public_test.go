package load

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// dataFolder returns the path of data outside the repository. It skips the test if the data
// is missing.
func dataFolder(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "data", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the data %s is not beside the project", name)
	}
	return path
}

// TestPublicData loads the public Australian test data. Each refusal has a reason, and no
// private element is stored.
func TestPublicData(t *testing.T) {
	inputs, _, err := Inputs([]string{dataFolder(t, "au-fhir-test-data.ndjson.gz")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := newMemory()
	s, rejects, err := loadAll(t, m, inputs...)
	if err != nil {
		t.Fatal(err)
	}
	if s.Read != 1131 {
		t.Errorf("%d resources read, want 1131", s.Read)
	}
	t.Logf("created %d, updated %d, unchanged %d, refused %v", s.Created, s.Updated, s.Unchanged, s.Refused)
	explained := regexp.MustCompile(`^\S+:[0-9]+ [A-Za-z]+/\S* \S+: .{10,}`)
	for _, r := range rejects {
		t.Log(strings.TrimPrefix(r, inputs[0].Name))
		if !explained.MatchString(r) {
			t.Errorf("a refusal without file, line, type and reason")
		}
	}
	for key, c := range m.current {
		for _, private := range []string{`"gender":`, `"birthDate":`, `"photo":`, "medicare-prescriber-number", "individual-genderIdentity"} {
			if c.Type.String() == "Practitioner" && strings.Contains(string(c.Document.Tail), private) {
				t.Errorf("%s still has %s", key, private)
			}
		}
	}
	second, _, err := loadAll(t, m, inputs...)
	if err != nil || second.Created != 0 {
		t.Errorf("the second load creates %d: %v", second.Created, err)
	}
}

// TestGuideExamples checks that the guide's examples of the seven types load.
func TestGuideExamples(t *testing.T) {
	inputs, _, err := Inputs([]string{dataFolder(t, "ig-examples")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, rejects, err := loadAll(t, newMemory(), inputs...)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(s.Refused); s.Created != 18 || s.Refused[OtherType] != 2 || s.RefusedTotal() != 2 {
		t.Errorf("created %d, refused %s, want 18 and the two Parameters:\n%s", s.Created, got, strings.Join(rejects, "\n"))
	}
}
