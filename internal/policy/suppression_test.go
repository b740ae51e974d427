package policy

import (
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/search/index"

	"github.com/google/go-cmp/cmp"
	"github.com/valyala/fastjson"
)

// TestConformSuppression: presence hides whatever is inside, on every type, and what is
// stored can be understood by clients (SU-01, SU-02, SU-03, SU-10, A-01).
func TestConformSuppression(t *testing.T) {
	t.Attr("requirements", "SU-01 SU-02 SU-03 SU-10")
	const (
		url  = `"url":"` + SuppressedURL + `"`
		old  = `"url":"` + SuppressedOldURL + `"`
		yes  = `{"url":"includeSelf","valueBoolean":true}`
		no   = `{"url":"includeSelf","valueBoolean":false}`
		anno = `{"url":"suppressedBy","valueCodeableConcept":{"coding":[{"system":"` + ResponsibleParty + `","code":"organisation-initiated"}]}}`
		prac = `{"url":"suppressedBy","valueCodeableConcept":{"coding":[{"system":"` + ResponsibleParty + `","code":"practitioner-initiated"}]}}`
	)
	with := func(parts ...string) string {
		return `{` + url + `,"extension":[` + strings.Join(parts, ",") + `]}`
	}
	for _, c := range []struct {
		name       string
		t          fhir.Type
		text, want string // the extensions; want empty: none is left
		warned     string
		visible    bool
	}{
		{"well-formed", fhir.Location, with(anno), with(anno), "", false},
		{"both initiators", fhir.PractitionerRole, with(strings.Replace(anno, `}]}}`, `},{"system":"`+ResponsibleParty+`","code":"practitioner-initiated"}]}}`, 1)), with(strings.Replace(anno, `}]}}`, `},{"system":"`+ResponsibleParty+`","code":"practitioner-initiated"}]}}`, 1)), "", false},
		{"two codings", fhir.Location, with(strings.Replace(anno, `}]}}`, `},{"system":"x","code":"y"}]}}`, 1)), with(strings.Replace(anno, `}]}}`, `},{"system":"x","code":"y"}]}}`, 1)), "codings", false},
		{"wrong initiator", fhir.Location, with(prac), with(prac), "initiator", false},
		{"no system", fhir.Location, with(strings.Replace(anno, `"system":"`+ResponsibleParty+`",`, "", 1)), with(strings.Replace(anno, `"system":"`+ResponsibleParty+`",`, "", 1)), "codings", false},
		{"no part", fhir.Location, `{` + url + `}`, with(anno), "suppressedBy", false},
		{"parts of the wrong shape", fhir.Location, `{` + url + `,"extension":{"url":"suppressedBy"}}`, with(anno), "suppressedBy", false},
		{"a value", fhir.Location, `{` + url + `,"valueBoolean":false}`, with(anno), "suppressedBy", false},
		{"a value beside", fhir.Location, `{` + url + `,"extension":[` + anno + `],"valueBoolean":false}`, with(anno), "valid FHIR extension", false},
		{"includeSelf on a Location", fhir.Location, with(anno, no), with(anno, no), "includeSelf", false},
		{"twice", fhir.Endpoint, with(anno) + "," + with(anno), with(anno) + "," + with(anno), "one suppression", false},
		{"another part", fhir.HealthcareService, with(anno, `{"url":"other"}`), with(anno, `{"url":"other"}`), "neither", false},
		{"a Provenance", fhir.Provenance, with(anno), with(anno), "Provenance", false},
		{"other writing of the url", fhir.Practitioner, `{"url":"HTTPS` + strings.TrimPrefix(SuppressedURL, "http") + `/|1.0","extension":[` + prac + `]}`, with(prac), "url", false},
		{"the old one", fhir.Practitioner, `{` + old + `,"valueBoolean":true}`, with(prac), "", false},
		{"the old one says no", fhir.Practitioner, `{` + old + `,"valueBoolean":false}`, "", "", true},
		{"both", fhir.Practitioner, `{` + old + `,"valueBoolean":true},` + with(prac) + `,{` + old + `,"valueBoolean":true}`, with(prac), "", false},
		{"the old one, and another extension", fhir.Practitioner, `{` + old + `,"valueBoolean":true},{"url":"http://x"}`, `{"url":"http://x"},` + with(prac), "", false},
		{"the old one says no, the new one is there", fhir.Practitioner, with(prac) + `,{` + old + `,"valueBoolean":false}`, with(prac), "", false},
		{"children only, and the old one", fhir.Organization, with(anno, no) + `,{` + old + `,"valueBoolean":true}`, with(anno, yes), "", false},
		{"the old one, damaged", fhir.Practitioner, `{` + old + `,"valueBoolean":"false"}`, with(prac), "hc-suppressed", false},
		{"the old one, twofold", fhir.Practitioner, `{` + old + `,"valueBoolean":false,"valueString":"true"}`, with(prac), "hc-suppressed", false},

		{"an organisation itself", fhir.Organization, with(anno, yes), with(anno, yes), "", false},
		{"its children only", fhir.Organization, with(anno, no), with(anno, no), "", true},
		{"unsaid", fhir.Organization, with(anno), with(anno, yes), "", false},
		{"no as a string", fhir.Organization, with(anno, `{"url":"includeSelf","valueString":"false"}`), with(anno, yes), "includeSelf", false},
		{"no as a string of a boolean", fhir.Organization, with(anno, `{"url":"includeSelf","valueBoolean":"false"}`), with(anno, yes), "includeSelf", false},
		{"no and yes", fhir.Organization, with(anno, no, yes), with(anno, yes), "at most once", false},
		{"no twice", fhir.Organization, with(no, anno, no), with(anno, yes), "at most once", false},
		{"no, and one with a damaged url", fhir.Organization, with(anno, `{"urlx":"includeSelf"}`, no), with(anno, `{"urlx":"includeSelf"}`, yes), "neither", false},
		{"no, and another extension", fhir.Organization, with(anno, no) + "," + with(anno, no), with(anno, yes) + "," + with(anno, yes), "one suppression", false},
		{"no, and one inside", fhir.Organization, with(anno, no, with(anno)), with(anno, with(anno), yes), "neither", false},
		{"no, but another extension of a longer name", fhir.Organization, `{"url":"` + SuppressedURL + `-reason"}`, `{"url":"` + SuppressedURL + `-reason"}`, "", true},
		{"no, without initiator", fhir.Organization, `{` + url + `,"extension":[` + no + `]}`, with(anno, no), "suppressedBy", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var a fastjson.Arena
			v := fastjson.MustParse(`{"extension":[` + c.text + `]}`)
			found := ConformSuppression(&a, c.t, v, Strip(c.t, v).Suppressions, func(*fastjson.Value) bool { return true })
			want := `{"extension":[` + c.want + `]}`
			if c.want == "" {
				want = `{}`
			}
			if diff := cmp.Diff(want, string(v.MarshalTo(nil))); diff != "" {
				t.Errorf("stored (-want +got):\n%s", diff)
			}
			if visible := !index.IsSuppressed(c.t, v); visible != c.visible {
				t.Errorf("visible: %v, want %v", visible, c.visible)
			}
			if warned := len(found) > 0; warned != (c.warned != "") || warned && !strings.Contains(found[0].Text, c.warned) {
				t.Errorf("warned %v, want %q", found, c.warned)
			}
			again := ConformSuppression(&a, c.t, v, Strip(c.t, v).Suppressions, func(*fastjson.Value) bool { return true })
			if diff := cmp.Diff(want, string(v.MarshalTo(nil))); diff != "" {
				t.Errorf("a second time it changes (%v):\n%s", again, diff)
			}
		})
	}
}

// TestSuppressionElsewhere checks that a suppression in a place where no client looks for it
// is also written at the root (SU-01).
func TestSuppressionElsewhere(t *testing.T) {
	t.Attr("requirements", "SU-01")
	const mark = `{"url":"` + SuppressedURL + `"}`
	for _, text := range []string{
		`{"modifierExtension":[` + mark + `]}`,
		`{"contained":[{"resourceType":"Practitioner","extension":[` + mark + `]}]}`,
		`{"contained":[{"resourceType":"Organization","extension":[{"url":"` + SuppressedURL + `/"}]}]}`,
		`{"contained":[{"resourceType":"Organization","extension":[{"url":"` + strings.ToUpper(SuppressedURL) + `"}]}]}`,
		`{"contained":[{"resourceType":"Organization","extension":[{"uri":"` + SuppressedURL + `"}]}]}`,
		`{"contained":[{"resourceType":"Organization","modifierExtension":[` + mark + `]}]}`,
		`{"contained":[{"resourceType":"Organization","meta":{"extension":[` + mark + `]}}]}`,
		`{"meta":{"extension":[` + mark + `]}}`,
		`{"_active":{"extension":[` + mark + `]}}`,
		`{"extension":[{"url":"http://x","extension":[` + mark + `]}]}`,
		`{"extension":[{"` + SuppressedURL + `":true}]}`,
		`{"extension":[{"URL":"` + SuppressedURL + `"}]}`,
	} {
		var a fastjson.Arena
		v := fastjson.MustParse(text)
		found := ConformSuppression(&a, fhir.PractitionerRole, v, Strip(fhir.PractitionerRole, v).Suppressions, func(*fastjson.Value) bool { return true })
		if len(found) != 1 || !index.IsSuppressed(fhir.PractitionerRole, v) {
			t.Errorf("%s: warned %v, stored %s", text, found, v)
		}
	}
}

// TestHide: a stored resource that is hidden carries the state for every client, and
// nothing else of it changes (SU-01, VI-03).
func TestHide(t *testing.T) {
	t.Attr("requirements", "SU-01 VI-03")
	for _, typ := range fhir.Types() {
		for _, text := range []string{
			`{"name":"x"}`, `{"active":true,"status":"active"}`, `{"extension":[{"url":"http://x"}]}`,
			`{"extension":[{"url":"` + SuppressedURL + `","extension":[{"url":"includeSelf","valueBoolean":false}]}]}`,
		} {
			for _, state := range []index.Visibility{index.Suppressed, index.Inactive, index.Suppressed | index.Inactive} {
				var a fastjson.Arena
				v := fastjson.MustParse(text)
				Hide(&a, typ, v, state)
				want := state
				if typ == fhir.Provenance {
					want &^= index.Inactive // it has no such state
				}
				if got := OwnState(typ, v); got&want != want {
					t.Errorf("%v %s hidden by %d has the state %d: %s", typ, text, state, got, v)
				}
				before := v.String()
				if Hide(&a, typ, v, state); v.String() != before {
					t.Errorf("%v %s: hidden a second time it changes to %s", typ, text, v)
				}
			}
		}
	}
}

// TestSaysHidden: what a refused resource says is read widely (SU-01, VI-03).
func TestSaysHidden(t *testing.T) {
	t.Attr("requirements", "SU-01 VI-03")
	const mark = `{"url":"` + SuppressedURL + `"}`
	for text, want := range map[string]index.Visibility{
		`{"active":true}`:                              0,
		`{"active":"true","status":"Active"}`:          0,
		`{"active":1}`:                                 0,
		`{"active":{}}`:                                0,
		`{"active":"maybe"}`:                           0,
		`{"active":false}`:                             index.Inactive,
		`{"active":"false"}`:                           index.Inactive,
		`{"active":" FALSE "}`:                         index.Inactive,
		`{"active":0}`:                                 index.Inactive,
		`{"active":0.0}`:                               index.Inactive,
		`{"active":"0"}`:                               index.Inactive,
		`{"active":"no"}`:                              index.Inactive,
		`{"active":["false"]}`:                         index.Inactive,
		`{"active":{"value":false}}`:                   index.Inactive,
		`{"active":true,"active":false}`:               index.Inactive,
		`{"status":"Inactive"}`:                        index.Inactive,
		`{"status":" off"}`:                            index.Inactive,
		`{"status":"entered-in-error"}`:                index.Inactive,
		`{"status":false}`:                             index.Inactive,
		`{"extension":[` + mark + `]}`:                 index.Suppressed,
		`{"extension":` + mark + `}`:                   index.Suppressed,
		`{"contained":[{"extension":[` + mark + `]}]}`: index.Suppressed,
		`{"active":-0}`:                                index.Inactive,
		`{"active":0.0e5}`:                             index.Inactive,
		`{"Status":"off"}`:                             index.Inactive,
		`{"extension":[{"` + SuppressedURL + `":1}]}`:  index.Suppressed,
		`{"active":"n","x":[[` + mark + `]]}`:          index.Suppressed | index.Inactive,
	} {
		if got := SaysHidden(fastjson.MustParse(text)); got != want {
			t.Errorf("%s says %d, want %d", text, got, want)
		}
	}
}

// TestMisspelledState tells mistakes of spelling from other codes (VI-03).
func TestMisspelledState(t *testing.T) {
	t.Attr("requirements", "VI-03")
	for said, want := range map[string]bool{
		"active": false, "inactive": false, "off": false, "test": false, "closed": false, "retired": false,
		"Inactive": true, "OFF": true, "Active": true, "false": true, "true": true, "Suspended": true,
	} {
		for _, typ := range []fhir.Type{fhir.Location, fhir.Endpoint} {
			if _, got := MisspelledState(typ, fastjson.MustParse(`{"status":"`+said+`"}`)); (got != "") != want {
				t.Errorf("%v %s: %q", typ, said, got)
			}
		}
	}
	for text, want := range map[string]string{`{"Status":"inactive"}`: "Status", `{"active":true,"ACTIVE":false}`: "ACTIVE", `{"active":false}`: "", `{"activeX":1}`: ""} {
		if got, _ := MisspelledState(fhir.Organization, fastjson.MustParse(text)); got != want {
			t.Errorf("%s: %q", text, got)
		}
	}
}

// TestWhatOnlySpeaksOfSuppression checks that two mentions hide no resource: a narrative that
// links to the extension, and a contained Organization that suppresses its children only.
func TestWhatOnlySpeaksOfSuppression(t *testing.T) {
	t.Attr("requirements", "SU-10")
	const no = `{"url":"` + SuppressedURL + `","extension":[{"url":"includeSelf","valueBoolean":false}]}`
	for _, text := range []string{
		`{"text":{"div":"<a href='` + SuppressedURL + `'>x</a>"}}`,
		`{"contained":[{"resourceType":"Organization","extension":[` + no + `]}]}`,
	} {
		var a fastjson.Arena
		v := fastjson.MustParse(text)
		found := ConformSuppression(&a, fhir.Location, v, Strip(fhir.Location, v).Suppressions, func(*fastjson.Value) bool { return true })
		if len(found) > 0 || v.String() != text {
			t.Errorf("%s: warned %v, stored %s", text, found, v)
		}
	}
}
