package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseList(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  []string // value, then parameters
	}{
		{nil, nil},
		{[]string{"", " , ,"}, nil},
		{[]string{"a, b", "c"}, []string{"a", "b", "c"}},
		{[]string{`a;Q=0.5;x="1,2;3" , b`}, []string{"a q=0.5 x=1,2;3", "b"}},
		{[]string{`a;x="quote \" and, comma";y=1`}, []string{`a x=quote \" and, comma y=1`}},
		{[]string{`"open, never closed`}, []string{`"open, never closed`}},
		{[]string{"a;;=;b"}, []string{"a = b="}},
	} {
		var got []string
		for _, i := range parseList(c.lines) {
			text := i.value
			for _, name := range []string{"", "b", "q", "x", "y"} {
				if value, ok := i.params[name]; ok && (name != "" || strings.Contains(c.lines[0], "=;")) {
					text += " " + name + "=" + value
				}
			}
			got = append(got, text)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q: %s", c.lines, diff)
		}
	}
}

func TestAcceptance(t *testing.T) {
	for _, c := range []struct {
		accept, mediaType string
		want              float64
	}{
		{"", fhirJSON, 1},
		{"*/*;q=0.3", fhirJSON, 0.3},
		{"*/*;q=0.3, application/*;q=0.7", fhirJSON, 0.7},
		{"*/*, application/*;q=0.7, application/fhir+json;q=0.1", fhirJSON, 0.1},
		{"*/*, application/fhir+json;q=0", fhirJSON, 0},
		{"text/*", fhirJSON, 0},
		{"APPLICATION/FHIR+JSON", fhirJSON, 1},
		{"application/fhir+json;q=high", fhirJSON, 0},
		{"application/fhir+json;q=7", fhirJSON, 0},
		{"application/fhir+json;q=NaN", fhirJSON, 0},
		{"application/fhir+json;q=0.2, application/fhir+json;q=0.6", fhirJSON, 0.6},
	} {
		if got := acceptance(parseList([]string{c.accept})).quality(c.mediaType); got != c.want {
			t.Errorf("%q gives %s %v, want %v", c.accept, c.mediaType, got, c.want)
		}
	}
}

// FuzzHeaders checks that each header can be parsed and that qualities are between 0 and
// 1.
func FuzzHeaders(f *testing.F) {
	for _, seed := range []string{"", "*/*", `a;q=0.5, "b;,";c=d`, "respond-async, handling=lenient", "gzip;q=0,*", `\",;`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		list := parseList([]string{header})
		for _, i := range list {
			if i.value == "" || strings.Contains(i.value, ";") && !strings.Contains(i.value, `"`) {
				t.Errorf("value %q", i.value)
			}
			if q := i.quality(); !(q >= 0 && q <= 1) {
				t.Errorf("quality %v", q)
			}
		}
		if q := acceptance(list).quality(fhirNDJSON); !(q >= 0 && q <= 1) {
			t.Errorf("acceptance %v", q)
		}
		r := &http.Request{Header: http.Header{"Accept-Encoding": {header}, "Prefer": {header}, "Content-Type": {header}}}
		_, _, _ = prefersGzip(r), prefers(r, "respond-async"), mediaTypeOf(r)
	})
}
