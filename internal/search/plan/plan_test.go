package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/bound"
	"muster/internal/search/index"
	"muster/internal/search/query"
)

const base = "https://directory.example/fhir"

func build(t *testing.T, reg *conformance.Registry, text string) (Plan, error) {
	t.Helper()
	q, err := query.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return Build(bound.Bind(reg, q), Settings{Bases: []string{base}, Zone: time.FixedZone("AEST", 10*60*60)})
}

// tiny is a registry with one parameter of each type, so that the types are
// tested whether or not the definitions use them yet.
func tiny(t *testing.T) *conformance.Registry {
	t.Helper()
	param := func(id int, code string, typ conformance.ParamType, target ...string) conformance.Param {
		return conformance.Param{ID: id, Code: code, Type: typ, Base: fhir.Endpoint, Role: conformance.Substantive, Target: target}
	}
	updated := param(2, "_lastUpdated", conformance.Date)
	instant := param(5, "date", conformance.Date)
	instant.Element = "instant"
	day := param(10, "day", conformance.Date)
	day.Element = "date"
	updated.Column = true
	secret := param(9, "secret", conformance.Token)
	secret.Restricted = "leave it out"
	reg, err := conformance.NewRegistry([]conformance.Param{
		updated, secret,
		param(3, "token", conformance.Token), param(4, "text", conformance.String), instant, day,
		param(6, "to", conformance.Reference, "Organization", "Location"), param(7, "owner", conformance.Reference, "Organization"),
		param(8, "uri", conformance.URI), param(11, "time", conformance.Number), param(12, "place", conformance.Special),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return reg
}

// TestValues holds how the values of each parameter type become nodes.
func TestValues(t *testing.T) {
	reg := tiny(t)
	word := func(s string) *string { return &s }
	date := func(prefix Prefix, from, to string) Comparison {
		moment := func(s string) fhir.Instant {
			m, err := fhir.ParseInstant(s)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		return Comparison{prefix, fhir.Period{From: moment(from), To: moment(to)}}
	}
	for _, tc := range []struct {
		req, criterion string
		want           Node
	}{
		{"SR-05", "token=a", Token{Param: 3, Code: word("a")}},
		{"SR-05", "token=s|a", Token{Param: 3, System: word("s"), Code: word("a")}},
		{"SR-05", "token=s|", Token{Param: 3, System: word("s")}},
		{"SR-05", "token=|a", Token{Param: 3, System: word(""), Code: word("a")}},
		{"SR-42", `token=A\|b\,c`, Token{Param: 3, Code: word("A|b,c")}},
		{"SR-42", "token=http://snomed.info/sct/32506021000036107/version/20260131|1", Token{Param: 3, System: word("http://snomed.info/sct"), Code: word("1")}},
		{"SR-04", "text=%20 SYDNEY  Caf%C3%A9", String{Param: 4, Text: "sydney cafe"}},
		{"SR-04", "text=a|b", String{Param: 4, Text: "a|b"}},
		{"SR-03", "text=A,B", Or{String{Param: 4, Text: "a"}, String{Param: 4, Text: "b"}}},
		{"SR-44", "date=2026", Date{5, date(EQ, "2026-01-01T00:00:00+10:00", "2027-01-01T00:00:00+10:00")}},
		{"SR-44", "day=2026-03-01", Date{10, date(EQ, "2026-03-01T00:00:00+11:00", "2026-03-02T00:00:00+11:00")}},
		{"SR-44", "date=ne2026-03", Date{5, date(NE, "2026-03-01T00:00:00+10:00", "2026-04-01T00:00:00+10:00")}},
		{"SR-44", "date=sa2026-03-01", Date{5, date(SA, "2026-03-01T00:00:00+10:00", "2026-03-02T00:00:00+10:00")}},
		{"SR-44", "date=eb2026-03-01T09:30Z", Date{5, date(EB, "2026-03-01T09:30:00Z", "2026-03-01T09:31:00Z")}},
		{"SR-44", "date=ap2026-03-02", Date{5, date(AP, "2026-03-01T00:00:00+10:00", "2026-03-04T00:00:00+10:00")}},
		{"SR-44", "_lastUpdated=gt2010", Updated{date(GT, "2010-01-01T00:00:00+10:00", "2011-01-01T00:00:00+10:00")}},
		{"KO-39", "_lastUpdated=ge1900-01-01", Updated{date(GE, "1900-01-01T00:00:00+10:00", "1900-01-02T00:00:00+10:00")}},
		{"KO-35", "_lastUpdated=ge2020-01-01T00:00:00+10:00", Updated{date(GE, "2020-01-01T00:00:00+10:00", "2020-01-01T00:00:01+10:00")}},
		{"KO-35", "_lastUpdated=ge2020-01-01T00:00:00%2B10:00", Updated{date(GE, "2020-01-01T00:00:00+10:00", "2020-01-01T00:00:01+10:00")}},
		{"KO-35", "_lastUpdated=ge2020-01-01T00:00:00 10:00", Updated{date(GE, "2020-01-01T00:00:00+10:00", "2020-01-01T00:00:01+10:00")}},
		{"KO-35", "_lastUpdated=le2020-01-01T00:00:00-03:30", Updated{date(LE, "2020-01-01T00:00:00-03:30", "2020-01-01T00:00:01-03:30")}},
		{"R4", "to=abc", Reference{Param: 6, ID: "abc"}},
		{"R4", "owner=abc", Reference{Param: 7, Type: "Organization", ID: "abc"}},
		{"R4", "to=Location/abc", Reference{Param: 6, Type: "Location", ID: "abc"}},
		{"R4", "to=Location/abc/_history/3", Reference{Param: 6, Type: "Location", ID: "abc"}},
		{"R4", "to=" + base + "/Location/abc", Reference{Param: 6, Type: "Location", ID: "abc"}},
		{"SR-03", "uri=http://a/B,http://c|1", Or{URI{8, "http://a/B"}, URI{8, "http://c|1"}}},
		{"SR-40", "text:exact=%20Caf%C3%A9", String{Param: 4, Text: " Café", Exact: true}},
		{"SR-40", "text:contains=Caf%C3%A9,x", Or{String{Param: 4, Text: "cafe", Contains: true}, String{Param: 4, Text: "x", Contains: true}}},
		{"SR-40", "text:missing=true", Not{Present{4, index.String}}},
		{"SR-40", "text:missing=false", Present{4, index.String}},
		{"SR-40", "token:not=a,b", Not{Or{Token{Param: 3, Code: word("a")}, Token{Param: 3, Code: word("b")}}}},
		{"SR-46", "to:Location=abc", Reference{Param: 6, Type: "Location", ID: "abc"}},
		{"SR-46", "to:Location=Location/abc", Reference{Param: 6, Type: "Location", ID: "abc"}},
		{"SR-46", "to:identifier=s|a", Token{Param: 6, System: word("s"), Code: word("a")}},
		{"SR-46", "to:missing=false", Or{Present{6, index.Reference}, Present{6, index.Token}}},
		{"SR-43", "time=0830", Number{11, EQ, 830}},
		{"SR-43", "time=gt1700,ne5", Or{Number{11, GT, 1700}, Number{11, NE, 5}}},
		{"SR-50", "place=-33.5|151", Near{12, index.Position{Latitude: -33.5, Longitude: 151}, 5000}},
		{"SR-50", "place=-33.5|151||m", Near{12, index.Position{Latitude: -33.5, Longitude: 151}, 5000}},
		{"SR-50", "place=-33.5|151|0.5", Near{12, index.Position{Latitude: -33.5, Longitude: 151}, 500}},
		{"SR-50", "place=-33.5|151|7|m,1|2|1|[mi_i]", Or{Near{12, index.Position{Latitude: -33.5, Longitude: 151}, 7}, Near{12, index.Position{Latitude: 1, Longitude: 2}, 1609.344}}},
	} {
		got, err := build(t, reg, "Endpoint?"+tc.criterion)
		if err != nil {
			t.Errorf("%s %s: refused: %v", tc.req, tc.criterion, err)
			continue
		}
		if diff := cmp.Diff(Plan{fhir.Endpoint, And{tc.want}}, got); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", tc.req, tc.criterion, diff)
		}
	}
}

// TestRefusals checks what cannot be planned. Every problem is reported (KO-38).
func TestRefusals(t *testing.T) {
	reg := tiny(t)
	for _, tc := range []struct {
		req, criteria string
		want          []string
	}{
		{"D1", "wibble=a", []string{`"wibble" at character 10 is not a search parameter of Endpoint`}},
		{"SR-23", "to:Location=Organization/a", []string{`it points to Location only`}},
		{"SR-23", "token:missing=yes", []string{`write true or false`}},
		{"SR-43", "time=08:30,2460,12345,sa0830,ap1,-1,", []string{
			`"08:30" at character 15 is not a valid value for time: write a time of day as HHMM`, `"2460"`, `"12345"`, `"sa0830"`, `"ap1"`, `"-1"`, `"" at character`}},
		{"SR-50", "place=1", []string{`"1" at character 16 is not a valid value for place: write latitude|longitude|distance|unit`}},
		{"SR-50", "place=91|0,0|181,NaN|0,1e1|0,0x1|0,|1", []string{`"91|0"`, `"0|181"`, `"NaN|0"`, `"1e1|0"`, `"0x1|0"`, `"|1"`}},
		{"SR-50", "place=1|2|0,1|2|-1,1|2|x", []string{`"1|2|0" at character 16 is not a valid value for place: write the distance as a number above 0`, `"1|2|-1"`, `"1|2|x"`}},
		{"SR-50", "place=1|2|3|ly,1|2|3|km|4", []string{`the unit "ly" is not one of km, m, mi and [mi_i]`, `"1|2|3|km|4"`}},
		{"SR-05", "token=a|b|c", []string{`"a|b|c" at character 16 is not a valid value for token: write system|code`}},
		{"SR-04", "text=%CC%81", []string{`is not a valid value for text: it has no letter`}},
		{"SR-24", "date=yesterday", []string{`"yesterday" at character 15 is not a valid value for date: write a date`}},
		{"SR-24", "date=xx2026", []string{`write a date with one of the prefixes`}},
		{"SR-24", "date=2026-02-30", []string{`that exists`}},
		{"SR-24", "date=gt", []string{`write a date`}},
		{"SR-24", "date=GT2026", []string{`write a date`}},
		{"SR-24", "date=2026-03-01T10:00:00 10", []string{`that exists`}},
		{"SR-24", "_lastUpdated=2026|2027", []string{`that exists`}},
		{"SR-24", "to=Practitioner/a", []string{`"Practitioner/a" at character 13 is not a valid value for to: it points to Organization, Location only`}},
		{"SR-24", "to=https://elsewhere.example/fhir/Location/a", []string{`write an id, Type/id`}},
		{"SR-24", "to=a b", []string{`write an id, Type/id`}},
		{"KO-38", "wibble=a&date=x,2026,y&text=ok&owner.name=z", []string{`"wibble" at character 10`, `"x" at character 24`, `"y" at character 31`, `"name" at character 47 is not a search parameter of Organization`}},
	} {
		p, err := build(t, reg, "Endpoint?"+tc.criteria)
		issues, _ := fhir.AsIssues(err)
		if len(issues) != len(tc.want) || p.Root != nil {
			t.Errorf("%s %s: issues %v and plan %v, want %d issues and no plan", tc.req, tc.criteria, issues, p, len(tc.want))
			continue
		}
		for n, i := range issues {
			if i.Code != fhir.CodeInvalid || !strings.Contains(i.Diagnostics, tc.want[n]) {
				t.Errorf("%s %s: %s: %s\nwant invalid: … %s …", tc.req, tc.criteria, i.Code, i.Diagnostics, tc.want[n])
			}
		}
	}
}

// TestPrint shows every node once; goldens of other packages rely on the form.
func TestPrint(t *testing.T) {
	s, c := "sys", "code"
	year := fhir.Period{From: 0, To: 1}
	p := Plan{fhir.Location, And{}}.With(Or{
		IDs{"a", "b"}, Updated{Comparison{GE, year}}, Token{3, &s, &c}, Token{Param: 3}, Token{3, new(string), nil},
	})
	p.Root = And{Not{Present{4, index.String}}, String{Param: 4, Text: "x"}, String{Param: 4, Text: "X", Exact: true}, Date{5, Comparison{AP, year}}, p.Root}
	p = p.With(Reference{6, "Organization", "a"}).With(Reference{Param: 6, Type: "Location"}).With(Reference{Param: 6, ID: "a"}).
		With(URI{8, "http://x"}).With(Visible{true, true}).With(Visible{Active: true}).With(Since{1})
	want := `Location
  and
    not
      present string 4
    string 4 starts "x"
    string 4 is "X"
    date 5 ap [1970-01-01T00:00:00.000Z, 1970-01-01T00:00:00.001Z)
    and
      or
        id a b
        updated ge [1970-01-01T00:00:00.000Z, 1970-01-01T00:00:00.001Z)
        token 3 system "sys" code "code"
        token 3 system * code *
        token 3 system "" code *
    reference 6 to Organization/a
    reference 6 to Location/*
    reference 6 to */a
    uri 8 is "http://x"
    visible active not-suppressed
    visible active
    committed after 1970-01-01T00:00:00.001Z
`
	if diff := cmp.Diff(want, p.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
