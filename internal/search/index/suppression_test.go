package index_test

import (
	"testing"

	"muster/internal/fhir"
	"muster/internal/search/index"

	"github.com/valyala/fastjson"
)

// TestIsSuppressed: the extension hides by its presence, on every type, and an
// Organization is exempt in one form only.
func TestIsSuppressed(t *testing.T) {
	t.Attr("req", "SU-01 SU-03 SU-10")
	const (
		by     = `{"url":"suppressedBy"}`
		yes    = `{"url":"includeSelf","valueBoolean":true}`
		no     = `{"url":"includeSelf","valueBoolean":false}`
		text   = `{"url":"includeSelf","valueString":"false"}`
		quoted = `{"url":"includeSelf","valueBoolean":"false"}`
		number = `{"url":"includeSelf","valueBoolean":0}`
		silent = `{"url":"includeSelf"}`
	)
	current := func(parts string) string { return `{"url":"` + index.SuppressedURL + `","extension":[` + parts + `]}` }
	old := func(said string) string { return `{"url":"` + index.SuppressedOldURL + `"` + said + `}` }
	for _, c := range []struct {
		name         string
		extensions   string
		organization bool // whether it hides an Organization
		others       bool // whether it hides a resource of another type
	}{
		{"none", ``, false, false},
		{"another extension", `{"url":"http://x/other","valueBoolean":true}`, false, false},
		{"bare", `{"url":"` + index.SuppressedURL + `"}`, true, true},
		{"a value instead of parts", `{"url":"` + index.SuppressedURL + `","valueBoolean":false}`, true, true},
		{"no parts", current(``), true, true},
		{"parts that are not a list", `{"url":"` + index.SuppressedURL + `","extension":` + no + `}`, true, true},
		{"includeSelf missing", current(by), true, true},
		{"includeSelf true", current(by + `,` + yes), true, true},
		{"includeSelf false", current(by + `,` + no), false, true},
		{"includeSelf false, no initiator", current(no), false, true},
		{"a string as valueBoolean", current(by + `,` + quoted), true, true},
		{"a valueString", current(by + `,` + text), true, true},
		{"a number", current(by + `,` + number), true, true},
		{"includeSelf without a value", current(by + `,` + silent), true, true},
		{"includeSelf twice, both false", current(no + `,` + no), true, true},
		{"includeSelf twice, one true", current(no + `,` + yes), true, true},
		{"includeSelf twice, one silent", current(silent + `,` + no), true, true},
		{"two extensions, both exempting", current(no) + `,` + current(no), true, true},
		{"two extensions, one exempting", current(no) + `,` + current(by), true, true},
		{"old, true", old(`,"valueBoolean":true`), true, true},
		{"old, false", old(`,"valueBoolean":false`), false, false},
		{"old, a string", old(`,"valueBoolean":"false"`), true, true},
		{"old, silent", old(``), true, true},
		{"old true beside an exempting one", current(no) + `,` + old(`,"valueBoolean":true`), true, true},
		{"old false beside an exempting one", current(no) + `,` + old(`,"valueBoolean":false`), false, true},
	} {
		v := fastjson.MustParse(`{"extension":[` + c.extensions + `]}`)
		for _, rt := range fhir.Types() {
			want := c.others
			if rt == fhir.Organization {
				want = c.organization
			}
			if got := index.IsSuppressed(rt, v); got != want {
				t.Errorf("%s: IsSuppressed(%s) = %v, want %v", c.name, rt, got, want)
			}
		}
	}
}
