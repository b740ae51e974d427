package store_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
)

// TestStatesMatchDocs compares the table of docs/states.md with State.CanBecome.
func TestStatesMatchDocs(t *testing.T) {
	documented := map[store.State][]store.State{}
	for _, row := range tableRows(t, filepath.Join("..", "..", "docs", "states.md"), "| state | meaning | next states |") {
		var next []store.State
		for name := range strings.SplitSeq(row[2], ",") {
			if name = strings.TrimSpace(name); name != "" {
				next = append(next, store.State(name))
			}
		}
		documented[store.State(row[0])] = next
	}
	coded := map[store.State][]store.State{}
	for _, from := range store.States() {
		coded[from] = nil
		for _, to := range store.States() {
			if from.CanBecome(to) {
				coded[from] = append(coded[from], to)
			}
		}
	}
	if diff := cmp.Diff(coded, documented); diff != "" {
		t.Errorf("docs/states.md differs from State.CanBecome (-code +docs):\n%s", diff)
	}
}

// tableRows returns the cells of the Markdown table with the given heading line.
func tableRows(t *testing.T, path, heading string) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), heading+"\n")
	if !found {
		t.Fatalf("%s has no table %s", path, heading)
	}
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for n := range cells {
			cells[n] = strings.TrimSpace(cells[n])
		}
		if !strings.HasPrefix(cells[0], "---") {
			rows = append(rows, cells)
		}
	}
	return rows
}

// TestStatesMoveForward checks that no ended job restarts and that every state leads to
// an end.
func TestStatesMoveForward(t *testing.T) {
	order := map[store.State]int{}
	for n, s := range store.States() {
		order[s] = n
	}
	for _, from := range store.States() {
		for _, to := range store.States() {
			if !from.CanBecome(to) {
				continue
			}
			if order[to] < order[from] || (to == from && from != store.Selecting) {
				t.Errorf("%s may become %s, which is a step back", from, to)
			}
			if !from.Live() && to.Live() {
				t.Errorf("%s may become %s: an ended job restarts", from, to)
			}
		}
		if from != store.Expired && !from.CanBecome(store.Expired) && !from.CanBecome(store.Cancelled) {
			t.Errorf("%s leads to no end", from)
		}
	}
}

// TestJobAt checks at which time an ended export counts as expired.
func TestJobAt(t *testing.T) {
	for _, c := range []struct {
		state   store.State
		expires fhir.Instant
		want    store.State
	}{{store.Writing, 0, store.Writing}, {store.Complete, 101, store.Complete}, {store.Complete, 100, store.Expired}, {store.Cancelled, 99, store.Expired}} {
		if got := (store.Job{State: c.state, Expires: c.expires}).At(100).State; got != c.want {
			t.Errorf("%s until %d is %s at 100, want %s", c.state, c.expires, got, c.want)
		}
	}
}
