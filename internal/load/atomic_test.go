package load_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/load"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
)

// atomic loads inputs atomically as changes, and returns the summary, the refusals and the warnings.
func (p *directory) atomic(inputs ...load.Input) (load.Summary, rejects, rejects, error) {
	p.Helper()
	var refused, warned rejects
	s, err := load.Run(p.Context(), load.Config{
		Directory: p.store, Extractor: p.extractor, Atomic: true, Changes: true, Rejects: &refused, Warnings: &warned,
	}, inputs)
	return s, refused, warned, err
}

// everything returns the lines of all resources.
func (p *directory) everything() (lines []string) {
	p.Helper()
	for _, t := range fhir.Types() {
		err := p.store.EachCurrent(p.Context(), t, func(held store.Held) error {
			lines = append(lines, string(held.Line))
			return nil
		})
		if err != nil {
			p.Fatal(err)
		}
	}
	return lines
}

// mixedChanges are changes of all kinds in several inputs: some of one resource, of what inherits, and
// transactions.
func mixedChanges() []load.Input {
	partOf := func(id, of string) string {
		return visible(fhir.Location, id, fmt.Sprintf(`,"partOf":{"reference":"Location/%s"}`, of))
	}
	return []load.Input{
		lines(strings.Join([]string{visible(fhir.Location, "a", ""), visible(fhir.Organization, "o", ","+suppression), partOf("b", "later")}, "\n")),
		lines(transaction(entryPut("c"), entryDelete("Location/c"), entryDelete("Location/old"), entryPut("a"), entryDelete("Location/never"))),
		lines("Location/l\n"),
		lines(strings.Join([]string{visible(fhir.Location, "b", `,"description":"new"`), visible(fhir.Location, "c", ""), partOf("d", "old"), partOf("d", "a")}, "\n")),
	}
}

// TestAtomicLoad compares an atomic load with one that is not: they lead to the same resources. All
// have one time, and only the last change of a resource is applied and checked.
func TestAtomicLoad(t *testing.T) {
	both(t, func(t *testing.T, p *directory) {
		first := graph("") + "\n" + visible(fhir.Location, "old", "")
		var want []string
		oneDatabase(t, func(_ *testing.T, other *directory) {
			other.load(first)
			other.change(mixedChanges()...)
			want = other.everything()
		})
		p.load(first)
		s, refused, warned, err := p.atomic(mixedChanges()...)
		if err != nil || len(refused) > 0 {
			t.Fatalf("refused %+v, error %v", refused, err)
		}
		if diff := cmp.Diff(content(want), content(p.everything())); diff != "" {
			t.Errorf("resources (-not atomic +atomic)\n%s", diff)
		}
		if s.Read != 13 || s.Created != 4 || s.Updated != 1 || s.Removed != 2 || s.Absent != 1 || s.Replaced != 5 || s.Loaded() != 13 || s.WarnedTotal() != int64(len(warned)) {
			t.Errorf("summary %+v; want 13 read: 4 created, 1 updated, 2 removed, 1 absent, 5 replaced", s)
		}
		if len(s.Dangling) > 0 {
			t.Errorf("dangling %+v, but the references were replaced", s.Dangling)
		}
		times := map[fhir.Instant]bool{}
		for _, id := range []string{"a", "b", "c", "d"} {
			times[p.row(fhir.Location, id).Committed] = true
		}
		if times[p.row(fhir.PractitionerRole, "r").Committed] = true; len(times) != 1 {
			t.Errorf("%d commit times, want one", len(times))
		}
	})
}

// TestAtomicRefusals checks that an atomic load writes nothing if anything is refused: a line, the
// rest of an input, a version that a directory has served. It reports all refusals, no warnings, and
// hides nothing.
func TestAtomicRefusals(t *testing.T) {
	a := visible(fhir.Location, "a", "")
	for name, c := range map[string]struct {
		content func(p *directory) load.Input
		lines   []int
		broken  bool
	}{
		"lines": {func(*directory) load.Input {
			return lines(a + "\n{\n" + `{"resourceType":"Location","id":"kept","status":"Inactive"}` + "\n" + a)
		}, []int{2, 3}, false},
		"an entry":      {func(*directory) load.Input { return lines(transaction(entryPut("a"), entryDelete("Location?name=x"))) }, []int{1}, false},
		"a cut archive": {func(*directory) load.Input { return lines(gzipped(a + "\n" + a)[:60]) }, []int{0}, true},
		"a served version": {func(p *directory) load.Input {
			line := p.line(fhir.Location, "l")
			p.load(visible(fhir.Organization, "o", ""))
			return lines(a + "\n" + metaOfVersion.ReplaceAllString(line, `"versionId":"9","lastUpdated":"2026-01-01T00:00:00.000Z"`))
		}, []int{2}, false},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, p *directory) {
				p.hiddenGraph()
				p.load(visible(fhir.Location, "kept", ""))
				input := c.content(p)
				before := p.everything()
				s, refused, warned, err := p.atomic(input)
				if (err != nil) != c.broken || s.Loaded() != 0 || len(warned) != 0 {
					t.Errorf("summary %+v, warnings %+v, error %v", s, warned, err)
				}
				var got []int
				for _, r := range refused {
					if got = append(got, r.Line); r.Stored == load.NowHidden {
						t.Errorf("%+v: nothing is hidden", r)
					}
				}
				if c.broken {
					got = []int{0}
				}
				if diff := cmp.Diff(c.lines, got); diff != "" {
					t.Errorf("lines of refusals (-want +got)\n%s", diff)
				}
				if diff := cmp.Diff(before, p.everything()); diff != "" {
					t.Errorf("resources (-want +got)\n%s", diff)
				}
			})
		})
	}
}

// TestAtomicLimits checks that a load beyond the limits ends with an error and writes nothing.
func TestAtomicLimits(t *testing.T) {
	oneDatabase(t, func(t *testing.T, p *directory) {
		removals := strings.Repeat("Location/a\n", load.MaxAtomicChanges)
		if s, _, _, err := p.atomic(lines(removals)); err != nil || s.Absent != 1 || s.Replaced != load.MaxAtomicChanges-1 {
			t.Errorf("at the limit: summary %+v, error %v", s, err)
		}
		large := visible(fhir.Location, "large", `,"description":"`+strings.Repeat("x", 4<<20)+`"`)
		for _, content := range []string{
			visible(fhir.Location, "a", "") + "\n" + strings.Replace(strings.Repeat(visible(fhir.Location, "b", "")+"\n", load.MaxAtomicChanges), `"b"`, `"c"`, 1),
			strings.Repeat(large+"\n", load.MaxAtomicBytes>>22),
		} {
			s, _, _, err := p.atomic(lines(content))
			if err == nil || !strings.Contains(err.Error(), "an atomic load has at most 10,000 changes and 64MiB of resources") || s.Loaded() != 0 {
				t.Errorf("summary %+v, error %v", s, err)
			}
		}
		if got := p.ids(); len(got) > 0 {
			t.Errorf("resources %q", got)
		}
	})
}

// failing is a directory whose transactions cannot be committed.
type failing struct{ store.Store }

var errFull = errors.New("the disk is full")

func (f failing) ApplyAll(ctx context.Context, changes []store.Change, _ func([]store.Outcome) error) ([]store.Outcome, error) {
	return f.Store.ApplyAll(ctx, changes, func([]store.Outcome) error { return errFull })
}

// TestAtomicFailure checks that the summary of a load that cannot be committed counts nothing.
func TestAtomicFailure(t *testing.T) {
	both(t, func(t *testing.T, p *directory) {
		s, err := load.Run(t.Context(), load.Config{Directory: failing{p.store}, Extractor: p.extractor, Atomic: true},
			[]load.Input{lines(visible(fhir.Location, "a", "") + "\n" + visible(fhir.Location, "a", ""))})
		if !errors.Is(err, errFull) || s.Read != 2 || s.Loaded() != 0 || len(p.ids()) != 0 {
			t.Errorf("summary %+v, error %v", s, err)
		}
	})
}
