package export

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
)

// remove returns the change that removes a resource.
func remove(t fhir.Type, id string) store.Change { return store.Change{Type: t, ID: id, Remove: true} }

// run runs an export and returns its id and its manifest.
func (b *fixture) run(since *fhir.Instant, types ...string) (string, parsedManifest) {
	b.Helper()
	return b.runRequest(b.request(since, types...))
}

// runRequest runs an export and returns its id and its manifest.
func (b *fixture) runRequest(r Request) (string, parsedManifest) {
	b.Helper()
	id, err := b.KickOff(b.Context(), r)
	if err != nil {
		b.Fatal(err)
	}
	return b.manifestOf(id)
}

// manifestOf waits for an export and returns its id and its manifest.
func (b *fixture) manifestOf(id string) (string, parsedManifest) {
	b.Helper()
	status := b.wait(b.Service, id)
	if status.State != store.Complete {
		b.Fatalf("the export %s: %s", status.State, status.Reason)
	}
	var m parsedManifest
	err := json.Unmarshal(status.Manifest, &m)
	if err != nil {
		b.Fatal(err)
	}
	if m.time, err = fhir.ParseInstant(m.TransactionTime); err != nil {
		b.Fatal(err)
	}
	return id, m
}

// parsedManifest is a manifest as a client reads it.
type parsedManifest struct {
	TransactionTime string
	Output          []output
	Deleted         []output
	Error           []output
	Message         string
	Extension       struct {
		RemovalList, Left []output
		Membership        store.Membership
	}
	time fhir.Instant
}

// lines returns the lines of files.
func (b *fixture) lines(files []output) (lines []string) {
	b.Helper()
	for _, f := range files {
		file, err := b.OpenFile(b.Context(), f.URL[strings.LastIndex(f.URL, "/")+1:])
		if err != nil {
			b.Fatal(err)
		}
		r, err := file.Identity()
		if err != nil {
			b.Fatal(err)
		}
		text := readAll(b.T, r)
		if n := int64(strings.Count(text, "\n")); n != f.Count {
			b.Errorf("%s has %d lines, and the manifest says %d", f.URL, n, f.Count)
		}
		lines = append(lines, strings.Split(strings.TrimSuffix(text, "\n"), "\n")...)
		_, _ = r.Close(), file.Close()
	}
	return lines
}

// deletes returns what the Bundles in the member deleted of a manifest delete, and how many entries
// each has.
func (b *fixture) deletes(m parsedManifest) (urls []string, entries []int) {
	b.Helper()
	for _, line := range b.lines(m.Deleted) {
		var bundle struct {
			ResourceType, Type string
			Entry              []struct {
				Request struct{ Method, URL string }
			}
		}
		if err := json.Unmarshal([]byte(line), &bundle); err != nil || bundle.ResourceType != "Bundle" || bundle.Type != "transaction" {
			b.Fatalf("not a transaction Bundle: %.200s, %v", line, err)
		}
		for _, e := range bundle.Entry {
			if e.Request.Method != "DELETE" {
				b.Errorf("an entry with the method %q", e.Request.Method)
			}
			urls = append(urls, e.Request.URL)
		}
		entries = append(entries, len(bundle.Entry))
	}
	return urls, entries
}

// TestRemovals checks what the manifest of a delta says about removals: those of the requested
// types since _since, also of Provenance, and not of resources that were created again. Only
// deltas of clients that hold something list removals.
func TestRemovals(t *testing.T) {
	t.Attr("requirements", "MA-06 MA-07 MA-08")
	onBothDatabases(t, func(t *testing.T, onPostgres bool) {
		b := newFixtureOn(t, onPostgres, nil)
		start(t, b.Service)
		b.fill(5)
		b.apply(resource(fhir.Provenance, "about", "first"), resource(fhir.Endpoint, "e", "first"), remove(fhir.Practitioner, "p4"))
		types := []string{"Provenance", "Practitioner", "Location"}
		_, full := b.run(nil, types...)
		if full.Deleted != nil {
			t.Errorf("a full export lists removals: %+v", full)
		}
		b.apply(remove(fhir.Practitioner, "p1"), remove(fhir.Practitioner, "p0"), remove(fhir.Provenance, "about"), remove(fhir.Endpoint, "e"),
			remove(fhir.Location, "l2"))
		b.apply(resource(fhir.Practitioner, "p1", "again"))
		id, delta := b.run(&full.time, types...)
		urls, entries := b.deletes(delta)
		if diff := cmp.Diff([]string{"Provenance/about", "Practitioner/p0", "Location/l2"}, urls); diff != "" || len(entries) != 1 {
			t.Errorf("deleted in %d Bundles (-want +got):\n%s", len(entries), diff)
		}
		if out := b.lines(delta.Output); len(out) != 1 || !strings.Contains(out[0], `"p1"`) {
			t.Errorf("the output of the delta: %q", out)
		}
		if len(delta.Deleted) != 1 || delta.Deleted[0].Type != "Bundle" || delta.Message != "" {
			t.Errorf("manifest %+v", delta)
		}
		status := b.wait(b.Service, id)
		if status.Total != 2 || status.Progress != "Export complete - 2 resources" {
			t.Errorf("the file of removals does not count: %+v", status)
		}
		b.apply(remove(fhir.Location, "l3"))
		_, next := b.run(&delta.time, "Location")
		if urls, _ := b.deletes(next); !slices.Equal(urls, []string{"Location/l3"}) || len(next.Output) != 0 || next.Output == nil || next.Message != "" {
			t.Errorf("a delta of removals alone: %q, %+v", urls, next)
		}
		_, last := b.run(&next.time, types...)
		if last.Deleted != nil || last.Message == "" {
			t.Errorf("a delta without anything: %+v", last)
		}
		for since, want := range map[fhir.Instant]bool{0: false, firstSince - 1: false, firstSince: true} {
			if _, m := b.run(&since, types...); (m.Deleted != nil) != want {
				t.Errorf("since %v: deleted %+v", since, m.Deleted)
			}
		}
	})
}

// TestManyRemovals checks that a Bundle deletes at most 1,000 resources, that files of removals are
// cut by size, and that they are removed with their export.
func TestManyRemovals(t *testing.T) {
	t.Attr("requirements", "MA-08 DE-01")
	b := newFixture(t, func(c *Config) { c.PartBytes = 60_000 })
	start(t, b.Service)
	b.fill(1050)
	_, full := b.run(nil, "Practitioner")
	var gone []store.Change
	for n := range 1050 {
		gone = append(gone, remove(fhir.Practitioner, fmt.Sprint("p", n)), remove(fhir.Location, fmt.Sprint("l", n)))
	}
	b.apply(gone...)
	id, delta := b.run(&full.time, "Practitioner", "Location")
	urls, entries := b.deletes(delta)
	if len(urls) != 2100 || !slices.Equal(entries, []int{1000, 1000, 100}) || len(delta.Deleted) != 2 {
		t.Errorf("%d removals in Bundles of %d, in %d files", len(urls), entries, len(delta.Deleted))
	}
	if slices.Sort(urls); len(slices.Compact(urls)) != 2100 {
		t.Error("a removal is listed twice")
	}
	if err := b.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := b.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range b.blobs() {
		if strings.HasPrefix(name, id) {
			t.Errorf("the file %s of a deleted export remains", name)
		}
	}
}
