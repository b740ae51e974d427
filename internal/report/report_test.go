package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"muster/internal/testkit/golden"
)

// records returns a source of lines.
func records(lines ...string) Source {
	return func(yield func(Record, error) bool) {
		for _, line := range lines {
			if !yield(Record{JSON: []byte(line)}, nil) {
				return
			}
		}
	}
}

// small returns the lines of testdata/small.ndjson, which has a fault of each kind.
func small(t testing.TB) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "small.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func collect(t *testing.T, source Source) *Report {
	t.Helper()
	r, err := Collect(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestSmall compares the text and the JSON of a report.
func TestSmall(t *testing.T) {
	r := collect(t, records(small(t)...))
	var text bytes.Buffer
	if err := r.Text(&text); err != nil {
		t.Fatal(err)
	}
	encoded, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{"small.txt": text.String(), "small.json": string(encoded) + "\n"} {
		name = filepath.Join("testdata", name)
		golden.Check(t, name, got)
	}
}

func TestHTML(t *testing.T) {
	for name, source := range map[string]Source{"small": records(small(t)...), "empty": records()} {
		var page bytes.Buffer
		if err := collect(t, source).HTML(&page, "A <b>title</b>"); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, no := range []string{"<b>title", "<script", "http://", "https://", "src=", "@import", "NaN", "ZgotmplZ", "<Fine>"} {
			if strings.Contains(page.String(), no) {
				t.Errorf("%s: the page contains %q", name, no)
			}
		}
		for _, yes := range []string{"A &lt;b&gt;title", "<svg", "<h2>Locations</h2>"} {
			if !strings.Contains(page.String(), yes) {
				t.Errorf("%s: the page does not contain %q", name, yes)
			}
		}
	}
}

func TestMapEdges(t *testing.T) {
	m := newMap([]Point{{151.2, -33.9, 4}, {0, 51.5, 3}, {158.5, -20, 2}})
	if len(m.Points) != 1 || m.Outside != 5 {
		t.Errorf("%d points, %d outside; want 1 and 5", len(m.Points), m.Outside)
	}
	if p := m.Points[0]; p.X < 0 || p.X > m.Width || p.Y < 0 || p.Y > m.Height {
		t.Errorf("Sydney is at %v, off the map of %v by %v", p, m.Width, m.Height)
	}
}

func TestSourceError(t *testing.T) {
	broken := errors.New("broken")
	_, err := Collect(t.Context(), func(yield func(Record, error) bool) { yield(Record{}, broken) })
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want the error of the source", err)
	}
}

func TestIdentifiers(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"HPI-I", "8003619900015717", ""}, {"HPI-I", "8003619900015718", wrongCheckDigit}, {"HPI-I", "800361", "not sixteen digits"},
		{"HPI-I", "8003626566707032", "does not start with 800361"}, {"HPI-O", "8003626566707032", ""}, {"HSP-O", "8003641000000209", ""},
		{"ABN", "51824753556", ""}, {"ABN", "41824753556", wrongCheckDigit}, {"ABN", "5182475355x", "not eleven digits"},
		{"ACN", "004085616", ""}, {"ACN", "123456789", wrongCheckDigit}, {"ACN", "", "not nine digits"},
		{"Medicare provider number", "2426621B", ""}, {"Medicare provider number", "2426621A", wrongCheckDigit},
		{"Medicare provider number", "242662IB", "not six digits and two characters"}, {"Medicare provider number", "é", "not six digits and two characters"},
		{"Ahpra registration", "MED0000932945", ""}, {"Ahpra registration", "MED000093294500", "not three letters and ten digits"}, {"Ahpra registration", "med0000932945", "not three letters and ten digits"},
	} {
		for _, r := range rules {
			if r.name == c.name {
				if got := r.check(c.value); got != c.want {
					t.Errorf("%s %q: %q, want %q", c.name, c.value, got, c.want)
				}
			}
		}
	}
}

// FuzzCollect checks that no line causes a panic and that every line is counted.
func FuzzCollect(f *testing.F) {
	for _, line := range small(f) {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r := collect(t, records(string(line)))
		if r.Records+r.Unreadable != 1 {
			t.Errorf("%d records and %d unreadable of one line", r.Records, r.Unreadable)
		}
		if err := errors.Join(r.Text(new(bytes.Buffer)), r.HTML(new(bytes.Buffer), "t")); err != nil {
			t.Error(err)
		}
	})
}
