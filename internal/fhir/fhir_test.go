package fhir

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/valyala/fastjson"
)

func TestParseInstant(t *testing.T) {
	for _, c := range []struct {
		req, text, want string // want is the instant in UTC, or the start of the error
	}{
		{"KO-23", "2026-03-01T09:30:00+11:00", "2026-02-28T22:30:00.000Z"},
		{"KO-23", "2026-03-01T09:30:00.1234Z", "2026-03-01T09:30:00.123Z"},
		{"KO-23", "2026-03-01T09:30:00-03:30", "2026-03-01T13:00:00.000Z"},
		{"KO-23", "2026-03-01", `"2026-03-01" is not an instant`},
		{"KO-23", "2026-03-01T09:30:00", `"2026-03-01T09:30:00" is not an instant`},
		{"KO-23", "2026-03-01T09:30Z", `"2026-03-01T09:30Z" is not an instant`},
		{"KO-23", "2026-02-30T09:30:00Z", `"2026-02-30T09:30:00Z" is not an instant: no such`},
		{"KO-23", "2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"},
		{"KO-23", "2017-01-01T10:59:60.25+11:00", "2017-01-01T00:00:00.250Z"},
		{"KO-23", "2016-12-31T23:59:61Z", `"2016-12-31T23:59:61Z" is not an instant`},
		{"KO-23", "2016-12-31T23:60:00Z", `"2016-12-31T23:60:00Z" is not an instant`},
		{"KO-23", "2016-02-30T23:59:60Z", `"2016-02-30T23:59:60Z" is not an instant: no such`},
		{"KO-23", "2026-03-01T09:30:00+15:00", `"2026-03-01T09:30:00+15:00" is not an instant`},
		{"KO-23", "", `"" is not an instant`},
	} {
		m, err := ParseInstant(c.text)
		got := m.String()
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: ParseInstant(%q) = %s, want %s", c.req, c.text, got, c.want)
		}
	}
}

func TestInstantFormat(t *testing.T) {
	sydney, err := time.LoadLocation("Australia/Sydney")
	if err != nil {
		t.Fatal(err)
	}
	m, _ := ParseInstant("2026-01-15T00:00:00.5Z")
	if got := m.Format(sydney); got != "2026-01-15T11:00:00.500+11:00" {
		t.Errorf("Format = %s", got)
	}
}

func TestParseDate(t *testing.T) {
	sydney, err := time.LoadLocation("Australia/Sydney")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ req, text, from, to string }{
		{"SR-44", "2010", "2009-12-31T13:00:00.000Z", "2010-12-31T13:00:00.000Z"},
		{"SR-44", "2010-02", "2010-01-31T13:00:00.000Z", "2010-02-28T13:00:00.000Z"},
		{"SR-44", "2010-06-01", "2010-05-31T14:00:00.000Z", "2010-06-01T14:00:00.000Z"},
		{"SR-44", "2010-06-01T10:00", "2010-06-01T00:00:00.000Z", "2010-06-01T00:01:00.000Z"},
		{"SR-44", "2010-06-01T10:00:30Z", "2010-06-01T10:00:30.000Z", "2010-06-01T10:00:31.000Z"},
		{"SR-44", "2010-06-01T10:00:30.25+10:00", "2010-06-01T00:00:30.250Z", "2010-06-01T00:00:30.251Z"},
		{"SR-44", "2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z", "2017-01-01T00:00:01.000Z"},
		{"SR-44", "2017-01-01T10:59:60.5", "2017-01-01T00:00:00.500Z", "2017-01-01T00:00:00.501Z"},
		{"SR-44", "2016-12-31T23:59:61Z", "", ""},
		{"SR-44", "2016-12-31T23:60:60Z", "", ""},
		// The day on which daylight saving ends in Sydney has 25 hours.
		{"SR-44", "2026-04-05", "2026-04-04T13:00:00.000Z", "2026-04-05T14:00:00.000Z"},
		{"SR-24", "2010-13", "", ""},
		{"SR-24", "2010-02-30", "", ""},
		{"SR-24", "20100601", "", ""},
		{"SR-24", "2010-06-01 10:00", "", ""},
		{"SR-24", "", "", ""},
	} {
		p, err := ParseDate(c.text, sydney)
		if c.from == "" {
			if err == nil {
				t.Errorf("%s: ParseDate(%q) = %v, want an error", c.req, c.text, p)
			}
			continue
		}
		if err != nil || p.From.String() != c.from || p.To.String() != c.to {
			t.Errorf("%s: ParseDate(%q) = %s to %s, %v; want %s to %s", c.req, c.text, p.From, p.To, err, c.from, c.to)
		}
	}
}

func TestValidTime(t *testing.T) {
	for text, want := range map[string]bool{
		"00:00:00": true, "23:59:60": true, "08:30:00.125": true, "8:30:00": false, "08:30": false, "24:00:00": false,
		"08:60:00": false, "08:30:61": false, "08:30:00,5": false, "08:30:00Z": false, "": false,
	} {
		if got := ValidTime(text); got != want {
			t.Errorf("ValidTime(%q) = %v, want %v", text, got, want)
		}
	}
}

func TestParseReference(t *testing.T) {
	const base = "https://directory.example.org/fhir"
	for _, c := range []struct{ text, want string }{
		{"Organization/a", "Organization/a"},
		{"Organization/a/_history/3", "Organization/a"},
		{base + "/Location/b.1", "Location/b.1"},
		{"https://elsewhere.example.org/fhir/Location/b", "error"},
		{"urn:uuid:2c5f", "error"},
		{"#contained", "error"},
		{"Organization/", "error"},
		{"organization/a", "error"},
		{"Organization/a b", "error"},
		{"", "error"},
	} {
		ref, err := ParseReference(c.text, base)
		got := ref.String()
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("ParseReference(%q) = %s, want %s", c.text, got, c.want)
		}
	}
}

// TestBelowBase checks that one base may be below another one, in any order.
func TestBelowBase(t *testing.T) {
	const outer, inner = "https://x.example", "https://x.example/fhir"
	for url, want := range map[string]string{
		inner + "/Location/b":               "Location/b",
		outer + "/Location/b":               "Location/b",
		outer + "/fhirs/Location/b":         "fhirs/Location/b",
		"https://y.example/Location/b":      "https://y.example/Location/b",
		"HTTPS://X.Example/fhir/Location/b": "Location/b",
		outer + "/FHIR/Location/b":          "FHIR/Location/b",
		"Location/b":                        "Location/b",
		"/Location/b":                       "/Location/b",
	} {
		for _, bases := range [][]string{{outer, inner, ""}, {"", inner, outer}} {
			if got := BelowBase(url, bases...); got != want {
				t.Errorf("BelowBase(%q, %q) = %q, want %q", url, bases, got, want)
			}
		}
	}
}

// TestSameBase compares base URLs in all spellings of one server, and what is below them.
func TestSameBase(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"https://x.example/fhir", "https://x.example/fhir", true},
		{"https://x.example/fhir", "https://x.example:443/fhir", true},
		{"https://x.example/fhir", "HTTPS://X.example:443/fhir", true},
		{"https://x.example/fhir", "https://x.example:/fhir", true},
		{"http://x.example/fhir", "http://x.example:80/fhir", true},
		{"http://x.example", "http://x.example:80", true},
		{"https://[2001:db8::1]/fhir", "https://[2001:DB8::1]:443/fhir", true},
		{"https://[2001:db8::443]", "https://[2001:db8::443]:443", true},

		{"https://x.example/fhir", "https://x.example:80/fhir", false},
		{"http://x.example/fhir", "http://x.example:443/fhir", false},
		{"http://x.example/fhir", "https://x.example/fhir", false},
		{"https://x.example/fhir", "https://x.example:8443/fhir", false},
		{"http://x.example:8080/fhir", "http://x.example/fhir", false},
		{"https://x.example/fhir", "https://x.example:443/FHIR", false},
		{"https://x.example/fhir:443", "https://x.example/fhir", false},
		{"https://x.example/fhir", "https://x.example/fhir/sub", false},
		{"https://x.example/fhir", "https://y.example/fhir", false},
		{"https://[2001:db8::443]", "https://[2001:db8::]", false},
		{"", "", false},
	} {
		for _, pair := range [][2]string{{c.a, c.b}, {c.b, c.a}} {
			if got := SameBase(pair[0], pair[1]); got != c.same {
				t.Errorf("SameBase(%q, %q) = %t", pair[0], pair[1], got)
			}
			url := pair[1] + "/Location/b"
			want := url
			if c.same {
				want = "Location/b"
			}
			if got := BelowBase(url, pair[0]); got != want && !strings.HasPrefix(pair[1], pair[0]+"/") {
				t.Errorf("BelowBase(%q, %q) = %q, want %q", url, pair[0], got, want)
			}
		}
	}
}

func TestSplitReference(t *testing.T) {
	for _, c := range []struct{ text, server, relative string }{
		{"https://x.example/fhir/Organization/a", "https://x.example/fhir", "Organization/a"},
		{"http://x.example/Organization/a/_history/3", "http://x.example", "Organization/a/_history/3"},
		{"https://x.example/_history/1/Organization/a", "https://x.example/_history/1", "Organization/a"},
		{"https://x.example/Things/1", "https://x.example", "Things/1"},
		{"https://x.example/things/1", "", ""},
		{"https://x.example/Organization/a b", "", ""},
		{"https://x.example/Organization/a#b", "", ""},
		{"https://x.example/Organization/a/_history/", "", ""},
		{"https://x.example/Organization", "", ""},
		{"https:///Organization/a", "", ""},
		{"https://Organization/a", "", ""},
		{"ftp://x.example/Organization/a", "", ""},
		{"Organization/a", "", ""},
		{"urn:uuid:1", "", ""},
		{"", "", ""},
	} {
		server, relative, ok := SplitReference(c.text)
		if server != c.server || relative != c.relative || ok != (c.server != "") {
			t.Errorf("SplitReference(%q) = %q, %q, %v; want %q, %q", c.text, server, relative, ok, c.server, c.relative)
		}
	}
}

func TestKindsOfReferences(t *testing.T) {
	for _, c := range []struct {
		text                   string
		urn, http, conditional bool
	}{
		{"urn:uuid:1", true, false, false}, {"URN:oid:1.2", true, false, false}, {"urn:", false, false, false},
		{"https://x", false, true, false}, {"http://x?y", false, true, false}, {"httpx", false, false, false},
		{"Organization?name=x", false, false, true}, {"Organization?", false, false, true}, {"?name=x", false, false, false},
		{"organization?name=x", false, false, false}, {"Organization/a", false, false, false}, {"#a", false, false, false}, {"", false, false, false},
	} {
		if IsURN(c.text) != c.urn || IsHTTP(c.text) != c.http || IsConditional(c.text) != c.conditional {
			t.Errorf("%q: urn %v, http %v, conditional %v", c.text, IsURN(c.text), IsHTTP(c.text), IsConditional(c.text))
		}
	}
}

func TestEachReference(t *testing.T) {
	v := fastjson.MustParse(`{"reference":"not an element","a":{"reference":"1","x":{"reference":"2"}},"b":[{"reference":"3"},[{"reference":"4"}],"5"],
		"c":{"reference":{"reference":"6"}},"d":{"reference":""},"e":{"reference":7},"contained":[{"f":{"reference":"8"}}]}`)
	var got []string
	EachReference(v, func(member []byte, element *fastjson.Value, text []byte) {
		got = append(got, string(member)+" "+string(text))
		element.Set("reference", fastjson.MustParse(`"new"`))
	})
	if diff := cmp.Diff([]string{"a 2", "a 1", "b 3", "b 4", "c 6", "contained 8"}, got); diff != "" {
		t.Errorf("references (-want +got):\n%s", diff)
	}
	if text := v.String(); strings.Count(text, `"reference":"new"`) != len(got) {
		t.Errorf("set: %s", text)
	}
	EachReference(fastjson.MustParse(`["x"]`), func([]byte, *fastjson.Value, []byte) { t.Error("an array is not a resource") })
}

func TestParseType(t *testing.T) {
	for _, typ := range Types() {
		if got, ok := ParseType(typ.String()); !ok || got != typ {
			t.Errorf("ParseType(%s) = %v, %v", typ, got, ok)
		}
	}
	for _, name := range []string{"", "organization", "Patient", "unknown type"} {
		if got, ok := ParseType(name); ok {
			t.Errorf("KO-25: ParseType(%q) = %v", name, got)
		}
	}
}

func TestLineReader(t *testing.T) {
	long := strings.Repeat("x", MaxLine+1)
	r := NewLineReader(strings.NewReader("\xef\xbb\xbf{1}\r\n\n  \n{2}\n" + long + "\n{3}"))
	var got []string
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, ErrLineTooLong) {
			got = append(got, "too long")
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(line))
	}
	if diff := cmp.Diff([]string{"{1}", "{2}", "too long", "{3}"}, got); diff != "" {
		t.Error(diff)
	}
	if r.Line() != 6 {
		t.Errorf("Line() = %d, want 6", r.Line())
	}
}

func TestAppendEscapedLine(t *testing.T) {
	in := "{\"a\":\"x\u0085y\u2028z\u2029é\u2027\"}"
	want := `{"a":"x\u0085y\u2028z\u2029` + "é\u2027\"}"
	if got := string(AppendEscapedLine(nil, []byte(in))); got != want {
		t.Errorf("RE-07: %q, want %q", got, want)
	}
}

func FuzzParseDate(f *testing.F) {
	for _, s := range []string{"2010", "2010-02", "2010-06-01T10:00:30.25+10:00", "", "9999-12-31"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := ParseDate(s, time.UTC); err == nil && p.From >= p.To {
			t.Errorf("ParseDate(%q) = %v, an empty period", s, p)
		}
	})
}
