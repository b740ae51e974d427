package load_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/load"
	"muster/internal/policy"
	"muster/internal/search/index"
	"muster/internal/store"
	"muster/internal/testkit/pgtest"
	"muster/internal/testkit/stores"

	"github.com/google/uuid"
)

const base = "http://localhost:8080/fhir"

// both runs a test on a new directory in each database.
func both(t *testing.T, test func(*testing.T, *directory)) {
	t.Run("sqlite", func(t *testing.T) { oneDatabase(t, test) })
	t.Run("postgres", func(t *testing.T) {
		registry := readRegistry(t)
		s, _, err := stores.Postgres(t.Context(), pgtest.Database(t), stores.Directory{BaseURL: base, Registry: registry, Rules: load.RulesFor(registry)})
		on(t, s, err, registry, test)
	})
}

// oneDatabase runs a test on a new directory in SQLite.
func oneDatabase(t *testing.T, test func(*testing.T, *directory)) {
	registry := readRegistry(t)
	s, _, err := stores.SQLite(t.Context(), t.TempDir(), stores.Directory{BaseURL: base, Registry: registry, Rules: load.RulesFor(registry)})
	on(t, s, err, registry, test)
}

func readRegistry(t *testing.T) *conformance.Registry {
	registry, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	return registry
}

// on runs a test on a store that was opened with an error or without.
func on(t *testing.T, s store.Store, err error, registry *conformance.Registry, test func(*testing.T, *directory)) {
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	extractor, err := index.NewExtractor(registry, base)
	if err != nil {
		t.Fatal(err)
	}
	test(t, &directory{t, s, extractor})
}

// directory is the target of loads.
type directory struct {
	*testing.T
	store     store.Store
	extractor *index.Extractor
}

// rejects collects the refusals or the warnings of a load.
type rejects []load.Rejected

func (r *rejects) Reject(one load.Rejected) error { *r = append(*r, one); return nil }

// load loads lines, and returns the summary, the refusals and the warnings.
func (p *directory) load(lines string) (load.Summary, rejects, rejects) {
	p.Helper()
	var refused, warned rejects
	s, err := load.Run(p.Context(), load.Config{Directory: p.store, Extractor: p.extractor, Rejects: &refused, Warnings: &warned},
		[]load.Input{load.FromReader("in", strings.NewReader(lines))})
	if err != nil {
		p.Fatal(err)
	}
	return s, refused, warned
}

// row returns the current row of a resource.
func (p *directory) row(t fhir.Type, id string) store.Row {
	p.Helper()
	rows, err := p.store.Lookup(p.Context(), t, []string{id})
	if err != nil || len(rows) != 1 {
		p.Fatalf("%v/%s has %d rows, %v", t, id, len(rows), err)
	}
	return rows[0]
}

// line returns the stored line of a resource.
func (p *directory) line(t fhir.Type, id string) (line string) {
	p.Helper()
	err := p.store.Bodies(p.Context(), []store.RowKey{p.row(t, id).Key}, func(_ store.Row, text []byte) error {
		line = string(text)
		return nil
	})
	if err != nil {
		p.Fatal(err)
	}
	return line
}

// visible returns a visible resource of a type with additional members.
func visible(t fhir.Type, id, more string) string {
	text := fmt.Sprintf(`{"resourceType":"%v","id":"%s"`, t, id)
	switch t {
	case fhir.Location, fhir.Endpoint:
		text += `,"status":"active","name":"x"`
	case fhir.Provenance:
		text += `,"recorded":"2026-01-01T00:00:00Z"`
	default:
		text += `,"active":true,"telecom":[{"system":"phone","value":"1"}]`
	}
	return text + more + "}"
}

const (
	mark    = `"url":"` + policy.SuppressedURL + `"`
	coding  = `{"system":"` + policy.ResponsibleParty + `","code":"organisation-initiated"}`
	by      = `{"url":"suppressedBy","valueCodeableConcept":{"coding":[` + coding + `]}}`
	no      = `{"url":"includeSelf","valueBoolean":false}`
	goodOne = `{` + mark + `,"extension":[` + by + `]}`
)

// TestMalformedSuppressionHides loads a version with a malformed suppression over a visible
// version. The presence of the extension hides a resource of any type, whatever its
// content: the new version is stored hidden, with a warning (SU-01, SU-10, A-01).
func TestMalformedSuppressionHides(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: loads thousands of suppressions on both databases")
	}
	t.Attr("requirements", "SU-01 SU-02 SU-10 VI-08")
	both(t, func(t *testing.T, p *directory) {
		for n, extension := range []string{
			`{` + mark + `,"extension":[{"url":"suppressedBy","valueCodeableConcept":{"coding":[` + coding + `,{"system":"x","code":"y"}]}}]}`,
			`{` + mark + `,"extension":[{"url":"suppressedBy","valueCodeableConcept":{"coding":[{"system":"` + policy.ResponsibleParty + `","code":"unknown"}]}}]}`,
			`{` + mark + `,"extension":[{"url":"suppressedBy","valueCodeableConcept":{"coding":[{"code":"organisation-initiated"}]}}]}`,
			`{` + mark + `}`,
			`{` + mark + `,"extension":[]}`,
			`{` + mark + `,"extension":[null]}`,
			`{` + mark + `,"extension":{}}`,
			`{` + mark + `,"extension":[` + by + `,` + by + `]}`,
			`{` + mark + `,"extension":[` + by + `,{"url":"includeSelf","valueString":"false"}]}`,
			`{` + mark + `,"extension":[` + by + `,` + no + `,` + no + `]}`,
			`{` + mark + `,"extension":[` + by + `,{"url":"more","valueBoolean":false}]}`,
			`{` + mark + `,"valueBoolean":false}`,
			`{` + mark + `,"valueBoolean":"no"}`,
			goodOne + `,` + goodOne,
			`{"url":"` + policy.SuppressedOldURL + `"}`,
			`{"url":"` + policy.SuppressedOldURL + `","valueBoolean":"false"}`,
			`{"url":" ` + policy.SuppressedURL + `/","extension":[` + by + `]}`,
			`{"url":"http://x","extension":[` + goodOne + `]}`,
		} {
			for _, rt := range fhir.Types() {
				id := fmt.Sprint("m", n)
				p.load(visible(rt, id, ""))
				s, refused, warned := p.load(visible(rt, id, `,"extension":[`+extension+`]`))
				if s.Updated != 1 || len(refused) > 0 {
					t.Errorf("%v %s: %+v, refused %v", rt, extension, s, refused)
				}
				if !slices.ContainsFunc(warned, func(w load.Rejected) bool { return w.Kind == load.BadSuppression }) {
					t.Errorf("%v %s: warnings %v", rt, extension, warned)
				}
				if row := p.row(rt, id); row.Version != 2 || row.Visibility&index.Suppressed == 0 {
					t.Errorf("%v %s: stored as %+v", rt, extension, row)
				}
				if line := p.line(rt, id); !strings.Contains(line, mark) || !strings.Contains(line, `"suppressedBy"`) {
					t.Errorf("%v %s: the stored line does not show it: %s", rt, extension, line)
				}
			}
		}
		p.load(visible(fhir.Organization, "o", ""))
		_, _, warned := p.load(visible(fhir.Organization, "o", `,"extension":[{`+mark+`,"extension":[`+by+`,`+no+`]}]`))
		if row := p.row(fhir.Organization, "o"); row.Visibility != 0 || slices.ContainsFunc(warned, func(w load.Rejected) bool { return w.Kind == load.BadSuppression }) {
			t.Errorf("an Organization that suppresses only its children: %+v, %v", row, warned)
		}
	})
}

// TestRefusedHidesTheOlderVersion checks that a refused resource that says that it is
// hidden leaves no visible version: the stored resource gets a new, hidden version. Any
// other refused resource leaves its older version, which is reported (SU-01, VI-03).
func TestRefusedHidesTheOlderVersion(t *testing.T) {
	t.Attr("requirements", "SU-01 VI-03 VI-08")
	const bad = `,"birthDateTime":""` // refused: an empty string
	both(t, func(t *testing.T, p *directory) {
		for n, c := range []struct {
			t    fhir.Type
			text string // with ID
			want load.Stored
			flag index.Visibility
		}{
			{fhir.Organization, `{"resourceType":"Organization","id":"ID","active":"false"}`, load.NowHidden, index.Inactive},
			{fhir.Practitioner, `{"resourceType":"Practitioner","id":"ID","active":0}`, load.NowHidden, index.Inactive},
			{fhir.PractitionerRole, `{"resourceType":"PractitionerRole","id":"ID","active":"Inactive"}`, load.NowHidden, index.Inactive},
			{fhir.HealthcareService, `{"resourceType":"HealthcareService","id":"ID","active":[false]}`, load.NowHidden, index.Inactive},
			{fhir.Location, `{"resourceType":"Location","id":"ID","status":"Inactive"}`, load.NowHidden, index.Inactive},
			{fhir.Endpoint, `{"resourceType":"Endpoint","id":"ID","status":"OFF"}`, load.NowHidden, index.Inactive},
			{fhir.Endpoint, `{"resourceType":"Endpoint","id":"ID","status":false}`, load.NowHidden, index.Inactive},
			{fhir.Organization, `{"resourceType":"Organization","id":"ID","active":true,"active":false}`, load.NowHidden, index.Inactive},
			{fhir.Organization, `{"resourceType":"Organization","id":"ID","active":"true"}`, load.StillServed, 0},
			{fhir.Organization, `{"resourceType":"Organization","id":"ID","active":"maybe"}`, load.StillServed, 0},
			{fhir.Organization, `{"resourceType":"Organization","id":"ID","active":null}`, load.StillServed, 0},
			{fhir.Location, `{"resourceType":"Location","id":"ID","status":"Active"}`, load.StillServed, 0},
			{fhir.Location, visible(fhir.Location, "ID", bad), load.StillServed, 0},
			{fhir.Location, visible(fhir.Location, "ID", bad+`,"extension":[`+goodOne+`]`), load.NowHidden, index.Suppressed},
			{fhir.Provenance, visible(fhir.Provenance, "ID", bad+`,"extension":[`+goodOne+`]`), load.NowHidden, index.Suppressed},
			{fhir.Organization, visible(fhir.Organization, "ID", bad+`,"extension":[{`+mark+`,"extension":[`+by+`,`+no+`]}]`), load.NowHidden, index.Suppressed},
			{fhir.Practitioner, visible(fhir.Practitioner, "ID", `,"extension":`+goodOne), load.NowHidden, index.Suppressed},
			{fhir.Practitioner, visible(fhir.Practitioner, "ID", `,"name":[{"family":"a","family":"b"}],"extension":[`+goodOne+`]`), load.NowHidden, index.Suppressed},
			{fhir.Practitioner, visible(fhir.Practitioner, "ID", `,"extension":[`+goodOne+`],"photo":`), load.NowHidden, index.Suppressed},
			{fhir.Practitioner, visible(fhir.Practitioner, "ID", `,"x":"lost,"extension":[`+goodOne+`]`), load.NowHidden, index.Suppressed},
			{fhir.Practitioner, strings.TrimSuffix(visible(fhir.Practitioner, "ID", `,"extension":[`+goodOne+`]`), `]}`), load.NowHidden, index.Suppressed},
			{fhir.Practitioner, visible(fhir.Practitioner, "ID", `},"extension":[`+goodOne+`]`), load.NowHidden, index.Suppressed},
			{fhir.Practitioner, visible(fhir.Practitioner, "ID", `,"extension":[`+strings.ReplaceAll(goodOne, "/", `\/`)+`],}`), load.NowHidden, index.Suppressed},
			{fhir.Practitioner, strings.Replace(visible(fhir.Practitioner, "ID", `,"extension":[`+goodOne+`]`), `"Practitioner"`, `"practitioner"`, 1), load.NowHidden, index.Suppressed},
			{fhir.Practitioner, `{"resourceType":"Bundle","type":"collection","entry":[{"resource":` + visible(fhir.Practitioner, "ID", bad+`,"extension":[`+goodOne+`]`) + `}]}`, load.NowHidden, index.Suppressed},
			{fhir.Practitioner, `{"resourceType":"Bundle","type":"collection","type":"collection","entry":[{"resource":` + visible(fhir.Practitioner, "ID", `,"extension":[`+goodOne+`]`) + `}]}`, load.NowHidden, index.Suppressed},
			{fhir.Practitioner, "{\"resourceType\":\"Bundle\",\n\"entry\":[;\n{\"resource\":" + visible(fhir.Practitioner, "ID", `,"extension":[`+goodOne+`]`) + `}]}`, load.NowHidden, index.Suppressed},
			{fhir.Practitioner, `{"resourceType":"Bundle","type":"history","entry":[{"resource":` + visible(fhir.Practitioner, "ID", `,"extension":[`+goodOne+`]`) + `}]}`, load.NowHidden, index.Suppressed},
			{fhir.Practitioner, `{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"PATCH","url":"Practitioner"},"resource":` + visible(fhir.Practitioner, "ID", `,"extension":[`+goodOne+`]`) + `}]}`, load.NowHidden, index.Suppressed},
			{fhir.Practitioner, `{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"DELETE","url":"Practitioner/ID"}}]}`, load.StillServed, 0},
			{fhir.Practitioner, `{"resourceType":"Bundle","type":"collection","entry":[{"extension":[` + goodOne + `],"resource":` + visible(fhir.Practitioner, "ID", "") + `}]}`, load.NowHidden, index.Suppressed},
			{fhir.Practitioner, `{"resourceType":"Practitoner","id":"ID","active":false}`, load.NowHidden, index.Inactive},
			{fhir.Practitioner, `{"resourceType":"Practitioner","Id":"ID","active":false}`, load.NowHidden, index.Inactive},
			{fhir.Practitioner, visible(fhir.Practitioner, "ID", `,"extension":[`+goodOne+`],"x":"`+strings.Repeat("x", fhir.MaxLine)+`"`), load.NowHidden, index.Suppressed},
		} {
			id := fmt.Sprint("r", n)
			p.load(visible(c.t, id, ""))
			text := strings.ReplaceAll(c.text, "ID", id)
			name := fmt.Sprintf("%d: %.200s", n, text)
			for round, want := range []load.Stored{c.want, load.AlreadyHidden} {
				if round == 1 && c.want == load.StillServed {
					want = c.want
				}
				s, refused, _ := p.load(text + "\n")
				named := slices.IndexFunc(s.Older, func(o load.Older) bool { return o.Type == c.t.String() && o.ID == id })
				if s.Updated > 0 || named < 0 || s.Older[named].Stored != want || s.Kept[want] != 1 {
					t.Errorf("%s\nround %d: %+v, want %s", name, round, s, want)
				}
				if !slices.ContainsFunc(refused, func(r load.Rejected) bool { return r.ID == id && r.Stored == want }) {
					t.Errorf("%s\nround %d: refused %+v", name, round, refused)
				}
				version := int64(2)
				if c.want == load.StillServed {
					version = 1
				}
				if row := p.row(c.t, id); row.Visibility != c.flag || row.Version != version {
					t.Errorf("%s\nround %d: stored as %+v, want version %d in state %d", name, round, row, version, c.flag)
				}
			}
			// After a correction of the source, the resource is visible again.
			if s, _, _ := p.load(visible(c.t, id, `,"language":"en"`)); s.Updated != 1 || p.row(c.t, id).Visibility != 0 {
				t.Errorf("%s\ncannot be corrected: %+v", name, s)
			}
		}
		if s, refused, _ := p.load(`{"resourceType":"Location","id":"never","status":"Inactive"}`); len(s.Older) > 0 || len(refused) != 1 || refused[0].Stored != "" {
			t.Errorf("a resource that was never stored: %+v, %+v", s, refused)
		}
	})
}

// TestHiddenVersionIsInDeltas checks that a delta contains the version that hides a
// resource.
func TestHiddenVersionIsInDeltas(t *testing.T) {
	t.Attr("requirements", "SU-01 VI-10")
	both(t, func(t *testing.T, p *directory) {
		p.load(visible(fhir.Location, "l", ""))
		before := p.row(fhir.Location, "l")
		time.Sleep(2 * time.Millisecond)
		p.load(visible(fhir.Location, "l", `,"name":"","extension":[`+goodOne+`]`))
		after, line := p.row(fhir.Location, "l"), p.line(fhir.Location, "l")
		if after.Committed <= before.Committed || after.LastUpdated != after.Committed {
			t.Errorf("committed %v, then %v with lastUpdated %v", before.Committed, after.Committed, after.LastUpdated)
		}
		if !strings.Contains(line, goodOne) || !strings.Contains(line, `"versionId":"2"`) || !strings.Contains(line, `"name":"x"`) {
			t.Errorf("the version is %s", line)
		}
	})
}

var rounds = flag.Int("privacy.rounds", 1, "how many times TestRandomPrivacy damages 2,000 resources")
var seed = flag.Uint64("privacy.seed", 1, "of TestRandomPrivacy")

// TestRandomPrivacy damages the suppression or the status of resources at random and loads
// them over visible versions. A visible older version may stay only if the summary lists
// it. A resource with the suppressed extension must not be visible, except an Organization
// that suppresses only its children. `-privacy.rounds 10` tests 20,000 cases.
func TestRandomPrivacy(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: loads thousands of random resources on both databases")
	}
	t.Attr("requirements", "SU-01 SU-10 VI-03 VI-08")
	const cases = 2000
	both(t, func(t *testing.T, p *directory) {
		var hidden, stays, replaced int
		for round := range *rounds {
			r := damager{rand.New(rand.NewPCG(*seed, uint64(round)))}
			var before, after bytes.Buffer
			damaged := make([]string, cases)
			types := fhir.Types()
			for n := range cases {
				rt, id := types[n%len(types)], fmt.Sprintf("d%d-%d", round, n)
				fmt.Fprintln(&before, visible(rt, id, ""))
				damaged[n] = r.resource(rt, id)
				fmt.Fprintln(&after, damaged[n])
			}
			p.load(before.String())
			s, _, _ := p.load(after.String())
			named := map[string]load.Stored{}
			for _, o := range s.Older {
				named[o.Type+"/"+o.ID] = o.Stored
			}
			for n := range cases {
				rt, id := types[n%len(types)], fmt.Sprintf("d%d-%d", round, n)
				row := p.row(rt, id)
				shown := policy.Readable(row.Visibility)
				stored := named[fmt.Sprintf("%v/%s", rt, id)]
				switch {
				case !shown:
					hidden++
				case row.Version == 1:
					stays++
					if stored != load.StillServed {
						t.Errorf("seed %d round %d: an older version is visible and not reported (%q):\n%s", *seed, round, stored, damaged[n])
					}
				default:
					replaced++
				}
				if shown && strings.Contains(damaged[n], policy.SuppressedURL) && !exempt(rt, damaged[n]) && !(row.Version > 1 && longerName.MatchString(damaged[n])) {
					t.Errorf("seed %d round %d: a resource with the suppressed extension is visible in version %d:\n%s", *seed, round, row.Version, damaged[n])
				}
			}
		}
		t.Logf("%d cases: %d hidden, %d older versions stay and are named, %d replaced by a visible version", *rounds*cases, hidden, stays, replaced)
	})
}

// longerName is the URL of another extension, which does not hide a resource that can be
// parsed.
var longerName = regexp.MustCompile(`suppressed[A-Za-z0-9_-]`)

var includeSelfForm = regexp.MustCompile(`includeSelf`)

// exempt reports whether a text may be an Organization that suppresses only its children.
func exempt(t fhir.Type, text string) bool {
	return t == fhir.Organization && strings.Count(text, policy.SuppressedURL) == 1 && len(includeSelfForm.FindAllString(text, -1)) == 1 &&
		regexp.MustCompile(`"valueBoolean"\s*:\s*false`).MatchString(text)
}

// damager draws resources with a damaged suppression or status.
type damager struct{ *rand.Rand }

func (d damager) pick(list ...string) string { return list[d.IntN(len(list))] }

// value draws a JSON value that a source may write for a boolean, a code or a concept.
func (d damager) value() string {
	return d.pick(`true`, `false`, `"true"`, `"false"`, `"False"`, `" false "`, `0`, `1`, `0.0`, `-0`, `"0"`, `null`, `[]`, `{}`, `[false]`, `[true,false]`, `["false"]`,
		`"active"`, `"inactive"`, `"Inactive"`, `"INACTIVE "`, `"off"`, `"Off"`, `"suspended"`, `"closed"`, `"no"`, `"N"`, `""`, `"x"`, `{"value":false}`, by, coding)
}

func (d damager) part() string {
	return d.pick(by, no, `{"url":"includeSelf","valueBoolean":true}`, `{"url":"includeSelf","valueString":"false"}`, `{"url":"includeSelf"}`, `{"url":"other"}`, `{}`, `null`, `7`, goodOne,
		`{"url":"suppressedBy","valueCodeableConcept":`+d.value()+`}`, `{"url":"includeSelf","valueBoolean":`+d.value()+`}`)
}

// extension draws a suppressing extension, damaged or not.
func (d damager) extension() string {
	url := d.pick(policy.SuppressedURL, policy.SuppressedURL, policy.SuppressedURL, policy.SuppressedOldURL, policy.SuppressedURL+"/", policy.SuppressedURL+"|26.0.0", " "+policy.SuppressedURL)
	text := `{"url":"` + url + `"`
	if d.IntN(4) > 0 {
		var parts []string
		for range d.IntN(4) {
			parts = append(parts, d.part())
		}
		inside := `[` + strings.Join(parts, ",") + `]`
		text += `,"extension":` + d.pick(inside, inside, inside, inside, d.value(), d.part())
	}
	if d.IntN(4) == 0 {
		text += `,"` + d.pick("valueBoolean", "valueString", "value", "_url") + `":` + d.value()
	}
	return text + `}`
}

// resource draws a resource with a damaged suppression, status or both, and sometimes with
// other damage.
func (d damager) resource(t fhir.Type, id string) string {
	var members []string
	if d.IntN(3) > 0 {
		list := `[` + d.extension() + `]`
		members = append(members, d.pick(`"extension":`, `"extension":`, `"extension":`, `"modifierExtension":`)+d.pick(list, list, list, d.extension(), `[`+d.extension()+`,`+d.extension()+`]`))
	}
	state := "active"
	if t == fhir.Location || t == fhir.Endpoint {
		state = "status"
	}
	if d.IntN(2) == 0 {
		members = append(members, `"`+state+`":`+d.value())
	}
	if d.IntN(6) == 0 {
		members = append(members, d.pick(`"language":""`, `"language":5`, `"name":{"a":1}`, `"identifier":[{}]`, `"language":"en","language":"en"`, `"contained":[{"resourceType":"Location","id":"c","extension":[`+d.extension()+`]}]`))
	}
	d.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	head := fmt.Sprintf(`{"resourceType":"%v","id":"%s"`, t, id)
	tail := ""
	for _, m := range members {
		tail += "," + m
	}
	if d.IntN(5) == 0 { // damages bytes outside its name
		raw := []byte(tail)
		for range 1 + d.IntN(3) {
			if len(raw) == 0 {
				break
			}
			switch at := d.IntN(len(raw)); d.IntN(4) {
			case 0:
				raw = slices.Delete(raw, at, at+1)
			case 1:
				raw = slices.Insert(raw, at, `{}[]",:\x`[d.IntN(9)])
			case 2:
				raw[at] = `{}[]",:\x0`[d.IntN(10)]
			case 3:
				raw = raw[:at]
			}
		}
		tail = string(raw)
	}
	return head + tail + "}"
}

// TestReindexTakesOutWhatMayNotBeHeld reindexes a directory of an older program, which
// removed private elements only at the root of a Practitioner. Reindexing removes the
// others once, in new versions that deltas contain. Loading the same resources again
// changes nothing.
func TestReindexTakesOutWhatMayNotBeHeld(t *testing.T) {
	t.Attr("requirements", "ST-01 ST-02 ST-03 SU-01")
	const (
		prescriber = `{"system":"http://ns.electronichealth.net.au/id/medicare-prescriber-number","value":"7654321"}`
		identity   = `{"url":"http://hl7.org/fhir/StructureDefinition/individual-genderIdentity","extension":[{"url":"value","valueString":"7654321"}]}`
	)
	private := []struct {
		t          fhir.Type
		id, before string // members of the source
	}{
		{fhir.PractitionerRole, "identifier", `,"identifier":[` + prescriber + `]`},
		{fhir.PractitionerRole, "reference", `,"practitioner":{"reference":"Practitioner/p","identifier":` + prescriber + `}`},
		{fhir.PractitionerRole, "extension", `,"extension":[` + identity + `]`},
		{fhir.PractitionerRole, "contained", `,"contained":[{"resourceType":"Practitioner","id":"c","birthDate":"7654321"}]`},
		{fhir.Provenance, "target", `,"target":[{"identifier":` + prescriber + `}]`},
		{fhir.Provenance, "entity", `,"entity":[{"role":"source","what":{"identifier":` + prescriber + `}}]`},
		{fhir.Organization, "identifier", `,"identifier":[` + prescriber + `]`},
		{fhir.Location, "suppressed", `,"contained":[{"resourceType":"Practitioner","extension":[` + goodOne + `]}]`},
	}
	both(t, func(t *testing.T, p *directory) {
		var changes []store.Change
		var source strings.Builder
		for _, c := range private {
			text := visible(c.t, c.id, c.before)
			fmt.Fprintln(&source, text)
			_, tail, _ := strings.Cut(text, `"id":"`+c.id+`"`)
			changes = append(changes, store.Change{Type: c.t, ID: c.id, SourceHash: [16]byte{1}, Document: store.Document{
				Head: fmt.Appendf(nil, `{"resourceType":"%v","id":"%s","meta":{`, c.t, c.id), Tail: []byte("}" + tail),
			}})
		}
		fmt.Fprintln(&source, visible(fhir.Location, "clean", ""))
		if _, err := p.store.Apply(t.Context(), changes); err != nil {
			t.Fatal(err)
		}
		p.load(visible(fhir.Location, "clean", ""))
		registry, err := conformance.Load()
		if err != nil {
			t.Fatal(err)
		}
		extract, err := load.NewExtractFunc(p.extractor)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []int64{int64(len(private)), 0} {
			var cleaned int64
			calls := 0
			err := p.store.(store.Indexer).Reindex(t.Context(), store.Reindexing{
				Definitions: registry.DefinitionsHash(), Rules: policy.RulesVersion(), Extract: extract,
				Cleaning: func(context.Context) error { calls++; return nil },
				Progress: func(_, n int64) { cleaned = n },
			})
			if err != nil || cleaned != want || (calls == 1) != (want > 0) {
				t.Fatalf("%d resources are cleaned after %d calls of Cleaning, %v; want %d", cleaned, calls, err, want)
			}
		}
		for _, c := range private {
			row, line := p.row(c.t, c.id), p.line(c.t, c.id)
			if row.Version != 2 || strings.Contains(line, "7654321") || row.LastUpdated != row.Committed || !strings.Contains(line, row.LastUpdated.String()) {
				t.Errorf("%v/%s is %+v\n%s", c.t, c.id, row, line)
			}
		}
		if row := p.row(fhir.Location, "clean"); row.Version != 1 {
			t.Errorf("an unaffected resource has version %d", row.Version)
		}
		if row := p.row(fhir.Location, "suppressed"); row.Visibility != index.Suppressed {
			t.Errorf("a suppression that an older program did not recognise: %+v", row)
		}
		// A load yields the same resources, except for derived identifiers.
		s, _, _ := p.load(source.String())
		if s.Created > 0 || s.RefusedTotal() > 0 || s.Unchanged < 3 {
			t.Errorf("loaded again: %+v", s)
		}
	})
}

// TestOneDamagedCharacter removes one structural character from a file, or inserts one
// quotation mark, at each position and in every format. The file has a new, suppressed
// version of a visible resource and a valid resource. As long as type, id and URL are
// intact, no older version may stay visible without being reported.
func TestOneDamagedCharacter(t *testing.T) {
	t.Attr("requirements", "SU-01")
	suppressed, good := visible(fhir.Location, "AAA", `,"extension":[`+goodOne+`]`), visible(fhir.Location, "BBB", "")
	identified := visible(fhir.Location, "AAA", `,"extension":[`+goodOne+`],"identifier":[{"system":"http://ns.electronichealth.net.au/id/hi/hpio/1.0","value":"1"}]`)
	within := `{"resourceType":"Location","contained":[{"resourceType":"Endpoint","id":"inside","extension":[` + goodOne + `]}],"status":"active","id":"AAA"}`
	bundle := func(entries ...string) string {
		return `{"resourceType":"Bundle","type":"collection","entry":[{"resource":` + strings.Join(entries, `},{"resource":`) + `}]}`
	}
	both(t, func(t *testing.T, p *directory) {
		for layout, text := range map[string]string{
			"line":          suppressed + "\n",
			"lines":         good + "\n" + suppressed + "\n",
			"document":      pretty(suppressed),
			"line-document": good + "\n" + pretty(suppressed),
			"array":         pretty("[" + good + "," + suppressed + "]"),
			"bundle":        bundle(good, suppressed) + "\n",
			"reverse":       bundle(suppressed, good) + "\n",
			"bundle-pretty": pretty(bundle(good, suppressed)),
			"nested":        bundle(bundle(suppressed)) + "\n",
			"parameters":    `{"resourceType":"Parameters","parameter":[{"resource":` + suppressed + `}]}` + "\n",

			"sorted":               sorted(suppressed) + "\n",
			"sorted-document":      pretty(sorted(suppressed)),
			"sorted-bundle":        sorted(bundle(suppressed, good)) + "\n",
			"sorted-bundle-pretty": pretty(sorted(bundle(good, suppressed))),
			"bundle-of-sorted":     bundle(sorted(suppressed), sorted(good)) + "\n",
			"identified":           sorted(identified) + "\n",
			"contained":            within + "\n",
			"sorted-contained":     sorted(within) + "\n",
		} {
			var mutants []string
			for at := range text {
				if strings.IndexByte(`"{}[],:`, text[at]) >= 0 {
					mutants = append(mutants, text[:at]+text[at+1:])
				}
				if at%3 == 0 {
					mutants = append(mutants, text[:at]+`"`+text[at:])
				}
			}
			var before strings.Builder
			var inputs []load.Input
			for n, m := range mutants {
				name := func(text string) string {
					return strings.NewReplacer("AAA", fmt.Sprintf("%s-a%d", layout, n), "BBB", fmt.Sprintf("%s-b%d", layout, n)).Replace(text)
				}
				fmt.Fprintln(&before, name(visible(fhir.Location, "AAA", "")))
				mutants[n] = name(m)
				inputs = append(inputs, load.FromReader(fmt.Sprint(n), strings.NewReader(mutants[n])))
			}
			p.load(before.String())
			s, err := load.Run(t.Context(), load.Config{Directory: p.store, Extractor: p.extractor}, inputs)
			if err != nil {
				t.Fatal(err)
			}
			named := map[string]bool{}
			for _, o := range s.Older {
				named[o.Type+"/"+o.ID] = true
			}
			for n, m := range mutants {
				id := fmt.Sprintf("%s-a%d", layout, n)
				whole := strings.Contains(m, `"`+id+`"`) && strings.Count(m, `"Location"`) == strings.Count(text, `"Location"`) && strings.Contains(m, policy.SuppressedURL)
				if row := p.row(fhir.Location, id); whole && row.Version == 1 && policy.Readable(row.Visibility) && !named["Location/"+id] {
					t.Errorf("%s: an older version is visible and not reported:\n%s", layout, m)
				}
			}
		}
	})
}

// sorted returns a JSON text with the members of all objects sorted by name.
func sorted(text string) string {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		panic(err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(out)
}

// pretty returns a JSON text over several lines.
func pretty(text string) string {
	var out bytes.Buffer
	if err := json.Indent(&out, []byte(text), "", " "); err != nil {
		panic(err)
	}
	return out.String() + "\n"
}

// TestRefusedEntryWithoutID checks that the older version of an entry without an id, which is
// stored under an id that is derived from its fullUrl, is found however its new version is
// refused: hidden if the new version says so, and otherwise reported (SU-01, VI-03).
func TestRefusedEntryWithoutID(t *testing.T) {
	t.Attr("requirements", "SU-01 VI-03 VI-08")
	const url = "urn:uuid:0b1f6f5e-8f0a-4d8c-9a51-00000000000"
	id := func(n string) string { return uuid.NewSHA1(uuid.NameSpaceURL, []byte(url+n)).String() }
	item := func(n, more string) string {
		return `{"fullUrl":"` + url + n + `","resource":{"resourceType":"Location","name":"x"` + more + `},"request":{"method":"POST","url":"Location"}}`
	}
	bundle := func(entries ...string) string {
		return `{"resourceType":"Bundle","type":"transaction","entry":[` + strings.Join(entries, ",") + `]}`
	}
	overLines := strings.NewReplacer("{", "{\n", "[", "[\n", ",", ",\n").Replace
	const off, suppressed, bad = `,"status":"off"`, `,"extension":[` + goodOne + `]`, `,"alias":[]`
	good := item("2", `,"status":"active"`)
	resourceFirst := `{"resource":{"resourceType":"Location","status":"off","alias":[]},"fullUrl":"` + url + `1"}`
	both(t, func(t *testing.T, p *directory) {
		for name, c := range map[string]struct {
			text string
			want load.Stored
		}{
			"line":                {bundle(item("1", off+bad), good), load.NowHidden},
			"stream":              {overLines(bundle(item("1", off+bad), good)), load.NowHidden},
			"suppressed":          {bundle(item("1", suppressed+bad), good), load.NowHidden},
			"not hidden":          {bundle(item("1", bad), good), load.StillServed},
			"duplicate key":       {bundle(good, strings.Replace(item("1", off), `"resource":`, `"fullUrl":"urn:x","resource":`, 1)), load.NowHidden},
			"duplicate in stream": {overLines(bundle(good, strings.Replace(item("1", off), `"resource":`, `"fullUrl":"urn:x","resource":`, 1))), load.NowHidden},
			"cut line":            {strings.TrimRight(bundle(item("1", suppressed)), "]}"), load.NowHidden},
			"cut stream":          {strings.TrimRight(overLines(bundle(good, item("1", off))), "]}"), load.NowHidden},
			"history":             {strings.Replace(bundle(item("1", off), good), "transaction", "history", 1), load.NowHidden},
			"type last":           {overLines(`{"resourceType":"Bundle","entry":[` + item("1", off) + `],"type":"transaction"}`), load.NowHidden},
			"other method":        {bundle(strings.Replace(item("1", off), "POST", "PATCH", 1), good), load.NowHidden},
			"outside the entry":   {bundle(strings.Replace(item("1", ""), `"request"`, `"extension":[`+goodOne+`],"request"`, 1), good), load.NowHidden},
			"same fullUrl":        {bundle(item("1", off), item("1", "")), load.NowHidden},
			"fullUrl last":        {bundle(resourceFirst, good), load.NowHidden},
			"array":               {"[" + item("1", off) + "]", load.NowHidden},
			"array of Bundles":    {"[" + bundle(item("1", suppressed)) + "]", load.NowHidden},
		} {
			p.load(bundle(item("1", `,"status":"active"`), good))
			before := p.row(fhir.Location, id("1"))
			s, refused, _ := p.load(c.text)
			if len(refused) == 0 {
				t.Errorf("%s: nothing was refused: %+v", name, s)
			}
			if s.Kept[c.want] == 0 || !slices.Contains(s.Older, load.Older{Type: "Location", ID: id("1"), Stored: c.want}) {
				t.Errorf("%s: older versions %+v, want it %q", name, s.Older, c.want)
			}
			row := p.row(fhir.Location, id("1"))
			if hidden := row.Visibility != 0; hidden != (c.want == load.NowHidden) || hidden && row.Version == before.Version {
				t.Errorf("%s: stored as %+v", name, row)
			}
		}
	})
}

// TestForeignFormatHidesTheOlderVersion checks that a file of another format leaves no
// visible version of a resource that it says is hidden, and that others stay as they are
// (SU-01, VI-03).
func TestForeignFormatHidesTheOlderVersion(t *testing.T) {
	t.Attr("requirements", "SU-01 VI-03 VI-08")
	inXML := func(id, more string) string {
		return `<entry><resource><Location xmlns="http://hl7.org/fhir"><id value="` + id + `"/>` + more + `</Location></resource></entry>`
	}
	wide := func(s string) string {
		out := []byte("\xff\xfe")
		for _, b := range []byte(s) {
			out = append(out, b, 0)
		}
		return string(out)
	}
	const suppressed = `<extension url="` + policy.SuppressedURL + `"/>`
	xml := `<Bundle>` + inXML("a", suppressed) + inXML("b", "") + `</Bundle>`
	array := `[{"resourceType":"Location","id":"b"},{"resourceType":"Location","id":"a","extension":[` + goodOne + `]}]`
	both(t, func(t *testing.T, p *directory) {
		for name, text := range map[string]string{
			"XML": xml, "XML status": `<Bundle>` + inXML("b", `<status value="active"/>`) + inXML("a", `<status value='off'/>`) + `</Bundle>`,
			"array": array, "UTF-16": wide(strings.ReplaceAll(strings.Trim(array, "[]"), "},{", "}\n{")), "UTF-16 array": wide(array), "UTF-16 XML": wide(xml),
		} {
			p.load(visible(fhir.Location, "a", "") + "\n" + visible(fhir.Location, "b", ""))
			s, refused, _ := p.load(text)
			if s.Refused[load.OtherFormat] == 0 || s.Loaded() > 0 || len(refused) != 3 { // the file and both resources
				t.Errorf("%s: %+v, refused %+v", name, s, refused)
			}
			if row := p.row(fhir.Location, "a"); row.Visibility == 0 {
				t.Errorf("%s: a is still served", name)
			}
			if row := p.row(fhir.Location, "b"); row.Visibility != 0 {
				t.Errorf("%s: b was hidden", name)
			}
		}
	})
}
