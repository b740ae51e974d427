package check_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"muster/internal/check"
	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/load"
	"muster/internal/policy"
	"muster/internal/search/index"
	"muster/internal/store"
	"muster/internal/store/postgres"
	"muster/internal/store/sqlite"
	"muster/internal/testkit/pgtest"

	"github.com/google/go-cmp/cmp"
)

// bothDatabases runs a test on SQLite and, with the URL of an empty database, on PostgreSQL.
func bothDatabases(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, "") })
	t.Run("postgres", func(t *testing.T) { test(t, pgtest.Database(t)) })
}

// loaded is an open directory with a function that loads lines into it.
func loaded(t *testing.T, dir, url string) (directory, func(lines string)) {
	t.Helper()
	registry, err := conformance.Load()
	must(t, err)
	s := open(t, dir, url, store.Options{Create: &store.Identity{BaseURL: baseURL, Mode: "authoritative", DefinitionsHash: registry.DefinitionsHash(), Rules: policy.RulesVersion()}})
	t.Cleanup(func() { _ = s.Close() })
	extractor, err := index.NewExtractor(registry, baseURL)
	must(t, err)
	return s, func(lines string) {
		t.Helper()
		_, err := load.Run(t.Context(), load.Config{Directory: s, Extractor: extractor}, []load.Input{load.FromReader("in", strings.NewReader(lines))})
		must(t, err)
	}
}

const someReferences = `
{"resourceType":"Organization","id":"o1","name":"x","partOf":{"reference":"Organization/o2"},"endpoint":[{"reference":"Endpoint/e1"},{"reference":"Endpoint/e2"}]}
{"resourceType":"Organization","id":"o2","name":"x","partOf":{"reference":"Organization/o3/_history/4"},"endpoint":[{"reference":"Endpoint/e3"}]}
{"resourceType":"Endpoint","id":"e1","managingOrganization":{"reference":"Organization/o1"}}
{"resourceType":"PractitionerRole","id":"r1","practitioner":{"reference":"urn:uuid:1"},"organization":{"reference":"urn:uuid:2"},"location":[{"reference":"https://elsewhere.example/Location/l"}]}
{"resourceType":"PractitionerRole","id":"r2","practitioner":{"reference":"urn:uuid:1"},"extension":[{"url":"http://x","valueReference":{"reference":"Device/d"}}]}
{"resourceType":"Location","id":"l1","contained":[{"resourceType":"Organization","id":"in","partOf":{"reference":"#"}}],"managingOrganization":{"reference":"#in"},"partOf":{"reference":"#gone"}}
`

// TestDanglingReferences checks the notes about references to resources that the directory
// does not have, and about those by a urn:.
func TestDanglingReferences(t *testing.T) {
	bothDatabases(t, func(t *testing.T, url string) {
		dir := filepath.Join(t.TempDir(), "data")
		_, put := loaded(t, dir, url)
		put(someReferences)
		lines, s := runCheck(t, dir, url, false, false)
		var dangling []string
		for _, line := range lines {
			if strings.HasPrefix(line, "note dangling") {
				dangling = append(dangling, line)
			}
		}
		if diff := cmp.Diff([]string{
			"note dangling: Organization.endpoint: 2 references to an Endpoint that is not in the directory, such as that of Organization/o1",
			"note dangling: Organization.partOf: 1 reference to an Organization that is not in the directory, such as that of Organization/o2",
			"note dangling: Location.partOf: 1 reference to a contained resource that is not there, such as that of Location/l1",
			"note dangling: PractitionerRole.extension: 1 reference to a Device that is not in the directory, such as that of PractitionerRole/r2",
			"note dangling: PractitionerRole.organization: 1 reference by a urn:, which nothing in a directory has, such as that of PractitionerRole/r1",
			"note dangling: PractitionerRole.practitioner: 2 references by a urn:, which nothing in a directory has, such as that of PractitionerRole/r1",
		}, dangling); diff != "" {
			t.Errorf("notes (-want +got):\n%s", diff)
		}
		if s.Findings > 0 {
			t.Errorf("findings: %q", lines)
		}
	})
}

// during is an inspector that calls a function before it reads the resources of a type.
type during struct {
	store.Inspector
	before map[fhir.Type]func()
}

func (d during) Excerpt(ctx context.Context, first, last store.RowKey, limit int) (store.Excerpt, error) {
	if f := d.before[first.Type()]; f != nil {
		delete(d.before, first.Type())
		f()
	}
	return d.Inspector.Excerpt(ctx, first, last, limit)
}

// TestReferencesWhileLoading checks that a reference is not reported if its target was
// created after the resources of its type were read.
func TestReferencesWhileLoading(t *testing.T) {
	bothDatabases(t, func(t *testing.T, url string) {
		dir := filepath.Join(t.TempDir(), "data")
		_, put := loaded(t, dir, url)
		put(`{"resourceType":"Organization","id":"o1","name":"x"}`)
		registry, err := conformance.Load()
		must(t, err)
		extractor, err := index.NewExtractor(registry, baseURL)
		must(t, err)
		var inspector store.Inspector
		if url != "" {
			d, err := postgres.Inspect(t.Context(), url, store.Identity{})
			must(t, err)
			defer d.Close()
			inspector = d
		} else {
			d, err := sqlite.Inspect(t.Context(), dir, store.Identity{})
			must(t, err)
			defer d.Close()
			inspector = d
		}
		var notes []string
		_, err = check.Run(t.Context(), check.Config{
			Store: during{inspector, map[fhir.Type]func(){fhir.PractitionerRole: func() {
				put(`{"resourceType":"Organization","id":"new","name":"x"}
{"resourceType":"PractitionerRole","id":"r1","organization":{"reference":"Organization/new"},"practitioner":{"reference":"Practitioner/gone"}}`)
			}}},
			Registry: registry, Extractor: extractor, Rules: policy.RulesVersion(),
			Report: func(f check.Finding) {
				if f.Kind == "dangling" {
					notes = append(notes, f.Place)
				}
			},
		})
		must(t, err)
		if diff := cmp.Diff([]string{"PractitionerRole.practitioner"}, notes); diff != "" {
			t.Errorf("notes (-want +got):\n%s", diff)
		}
	})
}
