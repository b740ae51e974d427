package export

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/part"
	"muster/internal/policy"
	"muster/internal/search/index"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
)

// identified returns a resource with an identifier, in a state.
func identified(t fhir.Type, id, system, value string, state index.Visibility) store.Change {
	c := resource(t, id, fmt.Sprint(value, state))
	c.Document.Tail = fmt.Appendf(nil, `},"identifier":[{"system":%q,"value":%q}]}`, system, value)
	c.Visibility = state
	return c
}

// list is a List as a client reads it.
type list struct {
	ResourceType, Status, Mode, Title, Date string
	Meta                                    struct{ LastUpdated string }
	Entry                                   []struct {
		Deleted bool
		Item    struct {
			Reference  string
			Identifier struct{ System, Value string }
		}
	}
}

// lists returns the Lists in files, which are those of an export at a time.
func (b *fixture) lists(files []output, at fhir.Instant) (lists []list) {
	b.Helper()
	for _, line := range b.lines(files) {
		var l list
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			b.Fatal(err)
		}
		if l.ResourceType != "List" || l.Status != "current" || l.Mode != "changes" || l.Title == "" || l.Date != at.String() || l.Meta.LastUpdated != l.Date {
			b.Errorf("the head of a List of %v: %.300s", at, line)
		}
		lists = append(lists, l)
	}
	return lists
}

// ofType returns the files of a type.
func ofType(files []output, t string) []output {
	return slices.DeleteFunc(slices.Clone(files), func(f output) bool { return f.Type != t })
}

// TestRemovalList checks which resources the removal List names, for clients with and without
// suppressed resources in their deltas, in each place in which the manifest may list it.
func TestRemovalList(t *testing.T) {
	t.Attr("requirements", "MA-07 MA-11 RM-01 RM-02 RM-03 RM-04 RM-05 VI-10")
	onBothDatabases(t, func(t *testing.T, onPostgres bool) {
		b := newFixtureOn(t, onPostgres, nil)
		// One server at a time: it would work on the exports of others.
		serve := func(may policy.SuppressedRules, place RemovalList, f func(*fixture)) {
			on, config := *b, b.Config
			config.Suppressed, config.Rules.RemovalList = may, place
			on.Service = New(config)
			defer start(t, on.Service)()
			f(&on)
		}
		local, exposed := policy.SuppressedRules{Search: true, Local: true}, policy.SuppressedRules{Search: true}
		b.apply(
			identified(fhir.Practitioner, "early", policy.HPIISystem, "hpii-early", index.Suppressed),
			identified(fhir.Practitioner, "hidden", policy.HPIISystem, "hpii-hidden", 0),
			identified(fhir.Practitioner, "other", policy.HPIISystem, "hpii-other", 0),
			identified(fhir.Organization, "org", policy.HPIOSystem, "hpio-org", 0),
			identified(fhir.Organization, "closed", policy.HPIOSystem, "hpio-closed", 0),
			identified(fhir.Endpoint, "end", policy.LocalSystem, "local-end", 0),
			resource(fhir.Provenance, "about", "first"),
		)
		var held fhir.Instant
		serve(local, RemovalListOutput, func(client *fixture) {
			_, full := client.run(nil, "Practitioner", "Organization", "Provenance")
			if held = full.time; len(ofType(full.Output, "List")) != 0 {
				t.Errorf("a full export has a removal List: %+v", full)
			}
		})
		about := resource(fhir.Provenance, "about", "second")
		about.Visibility = index.Suppressed
		b.apply(about,
			identified(fhir.Practitioner, "hidden", policy.HPIISystem, "hpii-hidden", index.Suppressed|index.Inactive),
			identified(fhir.Practitioner, "other", policy.HPIISystem, "hpii-other", index.Suppressed),
			identified(fhir.Organization, "org", policy.HPIOSystem, "hpio-org", index.Suppressed),
			identified(fhir.Organization, "closed", policy.HPIOSystem, "hpio-closed", index.Inactive),
			identified(fhir.Endpoint, "end", policy.LocalSystem, "local-end", index.Suppressed),
			inState("unnamed", index.Suppressed),
		)
		filters := []string{"_type=Practitioner,Organization,Provenance", "_typeFilter=Practitioner?_id=hidden,early,unnamed", "_typeFilter=Organization?_lastUpdated=ge1900-01-01",
			"_typeFilter=Provenance?_lastUpdated=ge1900-01-01"}
		for _, c := range []struct {
			name    string
			may     policy.SuppressedRules
			since   fhir.Instant
			place   RemovalList
			want    []string
			message bool
		}{
			{"a client with suppressed resources", local, held, RemovalListOutput, []string{"hpii-hidden", "hpio-org"}, false},
			{"a client without them, whatever its filters", exposed, held, RemovalListOutput, []string{"hpii-hidden", "hpii-other", "hpio-org"}, false},
			{"in the extension", exposed, held, RemovalListExtension, []string{"hpii-hidden", "hpii-other", "hpio-org"}, false},
			{"switched off", local, held, RemovalListOff, nil, false},
			{"switched off, without suppressed resources", exposed, held, RemovalListOff, nil, true},
			{"a client that holds nothing", local, firstSince - 1, RemovalListOutput, nil, false},
			{"a client without them that holds nothing", exposed, 0, RemovalListOutput, nil, true},
			{"the whole time", local, firstSince, RemovalListOutput, []string{"hpii-early", "hpii-hidden", "hpio-org"}, false},
		} {
			serve(c.may, c.place, func(client *fixture) {
				request, err := client.ParseRequest(t.Context(), []byte(kickOff(append(filters, "_since="+c.since.String())...)))
				if err != nil {
					t.Fatal(err)
				}
				_, m := client.runRequest(request)
				files, elsewhere := ofType(m.Output, "List"), m.Extension.RemovalList
				if c.place == RemovalListExtension {
					files, elsewhere = elsewhere, files
				}
				if len(elsewhere) > 0 {
					t.Errorf("%s: it is also in %+v", c.name, elsewhere)
				}
				if diff := cmp.Diff(c.want, client.named(files, m.time)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", c.name, diff)
				}
				if says := strings.HasPrefix(m.Message, "Suppressed resources are left out"); says != c.message || !says && m.Message != "" {
					t.Errorf("%s: message %q", c.name, m.Message)
				}
			})
		}
		serve(local, RemovalListOutput, func(client *fixture) {
			_, now := client.run(nil, "Endpoint")
			if _, next := client.run(&now.time, "Practitioner"); len(next.Output) != 0 {
				t.Errorf("a delta without changes: %+v", next)
			}
		})
	})
}

// named returns the identifiers in the removal List of an export at a time.
func (b *fixture) named(files []output, at fhir.Instant) (values []string) {
	b.Helper()
	for _, l := range b.lists(files, at) {
		for _, e := range l.Entry {
			if e.Item.Reference != "" || e.Deleted || e.Item.Identifier.System == "" {
				b.Errorf("an entry of the removal List: %+v", e)
			}
			values = append(values, e.Item.Identifier.Value)
		}
	}
	return values
}

// TestLongRemovalList checks that a List has at most 10,000 entries, and that no entry is lost
// between Lists.
func TestLongRemovalList(t *testing.T) {
	g := newListGenerator(store.PartList, 1<<20, "Title", 0)
	for n := range 2*maxEntries + 1 {
		if err := g.addEntry(byIdentifier(policy.Identifier{System: "http://x", Value: fmt.Sprint(n, `"<`)})); err != nil {
			t.Fatal(err)
		}
	}
	parts, err := g.end()
	if err != nil {
		t.Fatal(err)
	}
	next := 0
	var sizes []int
	for _, p := range parts {
		err := eachLineOf(p, func(l list) {
			sizes = append(sizes, len(l.Entry))
			for _, e := range l.Entry {
				if e.Item.Identifier.Value != fmt.Sprint(next, `"<`) {
					t.Fatalf("entry %d is %+v", next, e)
				}
				next++
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(sizes, []int{maxEntries, maxEntries, 1}) {
		t.Errorf("Lists of %d entries", sizes)
	}
}

// eachLineOf yields the Lists in the content of a part.
func eachLineOf(p store.Part, yield func(list)) error {
	return part.EachLine(p.Content, func(line []byte) error {
		var l list
		err := json.Unmarshal(line, &l)
		yield(l)
		return err
	})
}
