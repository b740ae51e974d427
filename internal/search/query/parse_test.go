package query

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"muster/internal/fhir"
)

// same compares queries except their places and source texts.
var same = cmp.Options{
	cmpopts.IgnoreTypes(Span{}),
	cmpopts.IgnoreFields(Query{}, "Source"),
	cmpopts.EquateEmpty(),
}

// requireSame fails if the printed query does not read as the same query.
func requireSame(t interface{ Fatalf(string, ...any) }, q Query) {
	again, err := Parse(q.String())
	if err != nil {
		t.Fatalf("canonical text %q is refused: %v", q, err)
	}
	if diff := cmp.Diff(q, again, same); diff != "" {
		t.Fatalf("canonical text %q reads differently (-first +again):\n%s", q, diff)
	}
	if again.String() != q.String() {
		t.Fatalf("canonical text %q prints as %q", q, again)
	}
}

// TestPrintReadsBack makes random trees, with all characters that mean something,
// and reads their text.
func TestPrintReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := Query{Type: rapid.SampledFrom(fhir.Types()).Draw(t, "type")}
		for range rapid.IntRange(0, 4).Draw(t, "params") {
			q.Params = append(q.Params, drawParam(t, 0))
		}
		if q.Type == fhir.Provenance {
			q.Params = append(q.Params, TypeTest{Ref: "target", Type: "Location"})
		}
		requireSame(t, q)
	})
}

func drawParam(t *rapid.T, depth int) Param {
	name := rapid.StringMatching(`[A-Za-z_][A-Za-z0-9_-]{0,8}`)
	word := rapid.StringMatching(`[A-Za-z][A-Za-z0-9-]{0,8}`)
	optional := rapid.OneOf(rapid.Just(""), word)
	if depth < MaxDepth {
		switch rapid.IntRange(0, 3).Draw(t, "form") {
		case 0:
			return Chain{Ref: name.Draw(t, "ref"), Type: optional.Draw(t, "type"), Next: drawParam(t, depth+1)}
		case 1:
			return Has{Type: word.Draw(t, "type"), Ref: name.Draw(t, "ref"), Next: drawParam(t, depth+1)}
		}
	}
	text := rapid.StringOf(rapid.RuneFrom([]rune(`\,|$&=?%+# :./"'()[]<>aZ09-é語` + "\u00a0\u2028")))
	value := rapid.Custom(func(t *rapid.T) Value {
		return Value{Parts: rapid.SliceOfN(text, 1, 3).Draw(t, "parts")}
	})
	leaf := Criterion{Name: name.Draw(t, "name"), Modifier: optional.Draw(t, "modifier"), Values: rapid.SliceOfN(value, 1, 3).Draw(t, "values")}
	if leaf.Name == "_has" {
		leaf.Modifier = "" // with one it is a reverse chain
	}
	return leaf
}

// TestPlaces checks that each span cuts the piece that it stands for, through
// percent-escapes and characters of several bytes. A message quotes it as the client meant it.
func TestPlaces(t *testing.T) {
	q, err := Parse("Practitioner?name=Zo%C3%AB,Ærø&_has:PractitionerRole:practitioner:location.address%2Dcity=Balmain")
	if err != nil {
		t.Fatal(err)
	}
	name := q.Params[0].(Criterion)
	has := q.Params[1].(Has)
	chain := has.Next.(Chain)
	for _, tc := range []struct {
		what string
		span Span
		want string
	}{
		{"whole criterion", name.At, `"name=Zoë,Ærø" at character 14`},
		{"name", name.NameAt, `"name" at character 14`},
		{"escaped value", name.Values[0].At, `"Zoë" at character 19`},
		{"second value", name.Values[1].At, `"Ærø" at character 28`},
		{"reverse step", has.NameAt, `"_has:PractitionerRole:practitioner" at character 32`},
		{"forward step", chain.NameAt, `"location" at character 67`},
		{"escaped name", chain.Next.(Criterion).NameAt, `"address-city" at character 76`},
		{"half an escape", Span{name.Values[0].At.Start, name.Values[0].At.Start + 4}, `"Zo%C" at character 19`},
		{"outside the text", Span{500, 600}, `"" at character 98`},
	} {
		if got := q.Place(tc.span); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.what, got, tc.want)
		}
	}
}

// TestLimits checks each bound on both sides of it.
func TestLimits(t *testing.T) {
	for _, tc := range []struct {
		what, text, refusal string
	}{
		{"longest text", fill("Organization?name=", MaxText), ""},
		{"too long", fill("Organization?name=", MaxText+1), "65537 bytes"},
		{"deepest chain", "Organization?" + strings.Repeat("partof.", MaxDepth) + "name=x", ""},
		{"too deep forward", "Organization?" + strings.Repeat("partof.", MaxDepth+1) + "name=x", "10 steps"},
		{"deepest reverse", "Location?" + strings.Repeat("_has:Location:partof:", MaxDepth) + "name=x", ""},
		{"too deep, mixed", "Location?" + strings.Repeat("_has:Location:partof:partof.", MaxDepth/2) + "partof.name=x", "10 steps"},
		{"most values", "Location?_id=" + strings.Repeat("a,", MaxValues-1) + "a", ""},
		{"too many values", "Location?_id=" + strings.Repeat("a,", MaxValues) + "a", "more than 500 values"},
		{"too many criteria", "Location?" + strings.Repeat("name=a&", MaxValues+1), "more than 500 values"},
	} {
		q, err := Parse(tc.text)
		switch {
		case tc.refusal == "" && err != nil:
			t.Errorf("%s: refused: %v", tc.what, err)
		case tc.refusal != "" && (err == nil || !strings.Contains(err.Error(), tc.refusal)):
			t.Errorf("%s: error %v, want %q in it", tc.what, err, tc.refusal)
		case tc.refusal != "" && len(q.Params) > 0:
			t.Errorf("%s: refused, but %d criteria are left", tc.what, len(q.Params))
		}
	}
}

// TestManyProblems checks that a text with problems only results in a bounded list.
func TestManyProblems(t *testing.T) {
	_, err := Parse("Organization?" + strings.Repeat("a&", MaxText/2-10))
	if issues, _ := fhir.AsIssues(err); len(issues) != MaxIssues {
		t.Errorf("%d issues, want %d", len(issues), MaxIssues)
	}
}

func fill(start string, length int) string {
	return start + strings.Repeat("x", length-len(start))
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"Organization?name=Aged%20Care&address-state=QLD",
		"Practitioner?_has:PractitionerRole:practitioner:location.address-city=Balmain",
		"Location?near=-33.8607|151.1803|100&_lastUpdated=ge2020-01-01T00:00:00+10:00",
		"Provenance?target.resolve().as(Organization)",
		`HealthcareService?service-type=http://snomed.info/sct|1\|2\,3\\,|x&organization:Organization.name:exact=a`,
		"Endpoint?=%zz&a&_has:x=1&&b=%ff",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := Parse(text)
		if err == nil {
			requireSame(t, q)
		}
		issues, ok := fhir.AsIssues(err)
		if err != nil && (!ok || len(issues) == 0) {
			t.Fatalf("the error is not a list of issues: %v", err)
		}
		for _, p := range q.Params {
			if s := p.Where(); s.Start < 0 || s.End > len(text) || s.Start >= s.End {
				t.Fatalf("span %v lies outside the text", s)
			}
		}
	})
}
