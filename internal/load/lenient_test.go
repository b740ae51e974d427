package load

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/index"
	"muster/internal/testkit/bound"

	"github.com/google/go-cmp/cmp"
)

// formatAll formats candidates: Type/id, their flags, and whether they are guessed.
func formatAll(list []candidate) (words []string) {
	for _, s := range list {
		word := fmt.Sprintf("%s/%s %d", s.typeName, s.id, s.hiddenBy)
		if s.guessed {
			word += " guessed"
		}
		words = append(words, word)
	}
	return words
}

// TestFindCandidates lists the resources found in texts that cannot be loaded (SU-01).
func TestFindCandidates(t *testing.T) {
	t.Attr("requirements", "SU-01")
	const (
		a    = `{"resourceType":"Location","id":"a"}`
		mark = `{"url":"` + policy.SuppressedURL + `"}`
	)
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", ``, nil},
		{"not JSON", `hello`, nil},
		{"a resource", a, []string{"Location/a 0"}},
		{"truncated after the id", `{"resourceType":"Location","id":"a","x`, []string{"Location/a 0"}},
		{"truncated in the id", `{"resourceType":"Location","id":"a`, nil},
		{"id before type", `{"id":"a","resourceType":"Location"`, []string{"Location/a 0"}},
		{"a number for an id", `{"id":7,"resourceType":"Location"}`, []string{"Location/7 0"}},
		{"two ids", `{"id":"a","resourceType":"Location","id":"b"}`, []string{"Location/a 0", "Location/b 0"}},
		{"type in other case", `{"id":"a","resourceType":"LOCATION"}`, []string{"Location/a 0"}},
		{"missing comma", `{"resourceType":"Location" "id":"a" "status":"off"}`, []string{"Location/a 1"}},
		{"missing quotation mark before", `{"x":"y,"resourceType":"Location","id":"a"}`, []string{"Location/a 0 guessed"}},
		{"status", `{"resourceType":"Location","id":"a","status":"Off",}`, []string{"Location/a 1"}},
		{"status of a nested object", `{"resourceType":"Location","id":"a","x":{"status":"off"},}`, []string{"Location/a 0"}},
		{"contained", `{"resourceType":"Location","id":"a","contained":[{"resourceType":"Endpoint","id":"e","extension":[` + mark + `]}],}`, []string{"Location/a 2", "Endpoint/a 2 guessed", "Location/e 2 guessed"}},
		{"escaped", `{"resourceType":"Location","id":"\u0061","extension":[` + strings.ReplaceAll(mark, "/", `\/`) + `],}`, []string{"Location/a 2", "Location/u0061 2 guessed"}},
		{"a Bundle", `{"resourceType":"Bundle","id":"x","entry":[{"resource":` + a + `},{"resource":{"resourceType":"Endpoint","id":"e","extension":[` + mark + `]}},,]}`, []string{"Location/a 0", "Endpoint/e 2"}},
		{"a Bundle, suppression outside its entries", `{"resourceType":"Bundle","entry":[{"resource":` + a + `},{"resource":{"resourceType":"Endpoint","id":"e}},,]}` + mark, []string{"Location/a 0", "Endpoint/e 2 guessed"}},
		{"missing quotation mark between two", `{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Location","id":"b","status":"active,"name":"B"}},{"resource":{"resourceType":"Location","id":"a","extension":[` + mark + `]}}]}`, []string{"Location/b 2", "Location/a 2 guessed"}}, // if in doubt, both
		{"missing colon of the type", `{"resourceType""Location","id":"a","extension":[` + mark + `]}`, []string{"Location/a 2 guessed"}},
		{"missing name of the type", `{"r"esourceType":"Location","id":"a","extension":[` + mark + `]}`, []string{"Location/a 2 guessed"}},
		{"an id with its type", `{"resourceType":"Location","id":"http://x/Location/a",}`, []string{"Location/a 0 guessed"}},
		{"an id in a list", `{"resourceType":"Location","id":["a"],}`, []string{"Location/a 0 guessed"}},
		{"members in another order, missing quotation mark", `{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Location","id":"b","name":"x}},{"resource":{"extension":[` + mark + `],"id":"a","resourceType":"Location"}}]}`, []string{"Location/b 2", "Location/a 2 guessed"}},
		{"two on a line", a + `{"resourceType":"Location","id":"b","extension":[` + mark + `]}`, []string{"Location/a 2", "Location/b 2"}}, // if in doubt, both
		{"a suppression before all types", mark + `{"resourceType":"Location","id":"a","name":"lost}`, []string{"Location/a 2"}},
		{"an address with id in it", `{"active":false,"id":"a","identifier":[{"system":"http://ns.electronichealth.net.au/id/hi/hpio/1.0"}],"name":"x","}],"resourceType":"Location"}`, []string{"Location/a 1 guessed"}},
		{"a status before the type", `{"id":"a","status":"off","x":[{"y":"z"}}],"resourceType":"Location"}`, []string{"Location/a 1 guessed"}},
		{"a type with a missing letter", `{"id":"a","resourceType":"Loction"}`, []string{"Location/a 0"}},
		{"a type with two letters transposed", `{"id":"a","resourceType":"Lcoation"}`, []string{"Location/a 0"}},
		{"another type of FHIR", `{"id":"a","resourceType":"Patient","active":false}`, []string{"Patient/a 1"}},
		{"an id in capitals", `{"ID":"a","resourceType":"Location","status":"off"}`, []string{"Location/a 1 guessed"}},
		{"an id that is an object", `{"resourceType":"Location","id":{"value":"a"},"status":"off"}`, []string{"Location/a 1 guessed"}},
		{"sorted members of two, missing quotation mark", `{"entry":[{"resource":{"extension":[` + mark + `],"id":"a","name":x","resourceType":"Location"}},{"resource":{"id":"b","resourceType":"Location"}}],"resourceType":"Bundle"}`, []string{"Location/b 0 guessed", "Location/a 2 guessed"}},
		{"an old suppression", `{"resourceType":"Location","id":"a","extension":[{"url":"` + policy.SuppressedOldURL + `"}],}`, []string{"Location/a 2"}},
		{"too deep", `{"resourceType":"Location","id":"a","x":` + strings.Repeat("[", 1000) + mark + strings.Repeat("]", 1000) + `}`, []string{"Location/a 2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, formatAll(findCandidates([]byte(c.text)))); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", c.text, diff)
			}
		})
	}
}

// TestFindCandidatesIsBounded checks that the memory for a text with very many ids and types
// is at most a fixed multiple of its size.
//
// The limit is high because the race detector empties the pools of regexp: it then
// allocates about 190 bytes for each byte of text, and about 30 otherwise.
func TestFindCandidatesIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: reads megabytes of hostile text")
	}
	for name, text := range map[string]string{
		"resources": strings.Repeat(`{"resourceType":"Location","id":"a"},`, 10_000),
		"types":     `{` + strings.Repeat(`"resourceType":"Location","id":"a",`, 10_000),
		"opening":   strings.Repeat(`{"id":"a","resourceType":"x",[`, 10_000),
		"strings":   `{"id":"` + strings.Repeat("a", 500_000),
	} {
		t.Run(name, func(t *testing.T) {
			bound.Limits{Base: 32 << 20, PerByte: 256}.Run(t, len(text), func() {
				if n := len(findCandidates([]byte(text))); n > maxCandidates {
					t.Errorf("%d candidates", n)
				}
			})
		})
	}
}

// FuzzFindCandidates checks that no text makes the scanner fail, that it finds the same
// candidates in a text that is written in pieces, and that it finds a valid resource after
// any text.
func FuzzFindCandidates(f *testing.F) {
	for _, text := range []string{`{"resourceType":"Location","id":"a"}`, `{"id":"a`, `[[{"a":"\u00`, `}{]["`, `{"contained":[{"resourceType":"Location","id":"c"}],`} {
		f.Add([]byte(text), uint16(3))
	}
	f.Fuzz(func(t *testing.T, text []byte, cut uint16) {
		list := findCandidates(text)
		for _, s := range list {
			if s.id != "" && !fhir.ValidID(s.id) || s.hiddenBy&^(index.Inactive|index.Suppressed) != 0 {
				t.Fatalf("a candidate is %+v", s)
			}
		}
		var whole, pieces []candidate
		for _, to := range []*[]candidate{&whole, &pieces} {
			g := lenientScanner{found: func(s candidate) { *to = append(*to, s) }}
			at := 0
			if to == &pieces {
				at = min(int(cut), len(text))
			}
			_, _ = g.Write(text[:at])
			_, _ = g.Write(text[at:])
			g.end()
		}
		if !slices.Equal(whole, pieces) {
			t.Fatalf("in two pieces %v, in one %v", formatAll(pieces), formatAll(whole))
		}
		if bytes.Contains(text, []byte(`"`)) || bytes.Contains(text, []byte("Bundle")) || bytes.Contains(text, []byte(`resourceType`)) {
			return
		}
		good := append(append(bytes.Clone(text), "\n"...), `{"resourceType":"Location","id":"good"}`...)
		if !slices.ContainsFunc(findCandidates(good), func(s candidate) bool { return s.typeName == "Location" && s.id == "good" }) {
			t.Fatalf("a valid resource after %q is not found", text)
		}
	})
}
