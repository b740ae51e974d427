package storetest

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store"
)

// revise returns a revision that replaces the text of the current version and hides the
// resource. It appends the line that it was called with to seen.
func revise(t fhir.Type, id, text string, seen *[]string) store.Change {
	return store.Change{Type: t, ID: id, Revise: func(current store.Current, c *store.Change) (bool, error) {
		*seen = append(*seen, string(current.Line))
		next := put(t, id, text, index.Entry{Kind: index.Token, Param: 1, Code: text})
		c.Document, c.SourceHash, c.Entries, c.Visibility = next.Document, next.SourceHash, next.Entries, current.Visibility|index.Suppressed
		return true, nil
	}}
}

// testRevisions derives new versions from current ones, inside the gate.
func testRevisions(t *testing.T, open OpenStore) {
	d := newDirectory(t, open)
	d.apply(put(fhir.Location, "a", "one", index.Entry{Kind: index.Token, Param: 1, Code: "one"}))
	var seen []string
	d.wantApply(store.Updated, revise(fhir.Location, "a", "two", &seen))
	if len(seen) != 1 || !strings.Contains(seen[0], `"versionId":"1"`) || !strings.Contains(seen[0], `"text":"one"`) {
		t.Errorf("the revision started from %q", seen)
	}
	if got := d.all(fhir.Location); len(got) != 1 || got[0].Text != "two" || got[0].Meta.VersionID != "2" {
		t.Errorf("after the revision: %+v", got)
	}
	for code, want := range map[string]int{"one": 0, "two": 1} {
		if got := d.keys(fhir.Location, plan.Token{Param: 1, Code: &code}); len(got) != want {
			t.Errorf("the entry %q finds %d resources", code, len(got))
		}
	}
	if got := d.keys(fhir.Location, plan.Visible{NotSuppressed: true}); len(got) != 0 {
		t.Error("the revision has not hidden the resource")
	}
	d.wantApply(store.Unchanged, revise(fhir.Location, "a", "two", &seen)) // the same content
	d.wantApply(store.Unchanged, store.Change{Type: fhir.Location, ID: "a", Revise: func(current store.Current, _ *store.Change) (bool, error) {
		if current.Visibility != index.Suppressed {
			t.Errorf("the revision received the state %d", current.Visibility)
		}
		return false, nil
	}})
	seen = nil
	d.wantApply(store.Absent, revise(fhir.Location, "b", "two", &seen))
	d.wantApply(store.Absent, revise(fhir.Endpoint, "a", "two", &seen))
	if len(seen) > 0 {
		t.Errorf("a resource that does not exist was revised: %q", seen)
	}
	// Within one call, a revision sees the changes before it, and the changes after it
	// apply.
	got := d.apply(put(fhir.Location, "c", "one"), revise(fhir.Location, "c", "two", &seen), put(fhir.Location, "c", "three"), revise(fhir.Location, "d", "x", &seen), put(fhir.Location, "d", "y"))
	if want := []store.Outcome{store.Created, store.Updated, store.Updated, store.Absent, store.Created}; !slices.Equal(got, want) {
		t.Errorf("outcomes %v, want %v", got, want)
	}
	if len(seen) != 1 || !strings.Contains(seen[0], `"text":"one"`) {
		t.Errorf("the revision in the middle started from %q", seen)
	}
	broken := errors.New("test failure")
	_, err := d.Apply(t.Context(), []store.Change{put(fhir.Location, "e", "one"), {Type: fhir.Location, ID: "a", Revise: func(store.Current, *store.Change) (bool, error) { return false, broken }}})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "Location/a") {
		t.Errorf("the error is %v", err)
	}
	if present, err := d.Present(t.Context(), fhir.Location, []string{"e"}); err != nil || present["e"] {
		t.Errorf("a failed batch was written partly: %v, %v", present, err)
	}
}
