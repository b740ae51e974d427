package rules

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"muster/internal/auth"
	"muster/internal/blob"
	"muster/internal/conformance"
	"muster/internal/export"
	"muster/internal/fhir"
	"muster/internal/load"
	"muster/internal/policy"
	"muster/internal/rulestest"
	"muster/internal/search"
	"muster/internal/search/index"
	"muster/internal/store"
	"muster/internal/store/postgres"
	"muster/internal/store/sqlite"
	"muster/internal/synth"
	"muster/internal/testkit/pgtest"
)

// TestCopiesOfFilters keeps copies of filters by chained exports with track-membership alone, while
// a small directory changes at random. After each export, what a copy shows is what a full export of
// the filters holds. Nothing is listed as left that the copy never got.
func TestCopiesOfFilters(t *testing.T) {
	t.Attr("requirements", "VI-09 VI-10 VI-12 MA-08 MA-09")
	reg, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	rules := func(id store.Identity) (store.Rules, error) { return load.RulesFor(reg)(id) }
	options := store.Options{Rules: rules, Create: &store.Identity{BaseURL: rulestest.Base, Mode: "authoritative", DefinitionsHash: reg.DefinitionsHash(), Rules: policy.RulesVersion()}}
	for name, open := range map[string]func(*testing.T) (store.Store, error){
		"sqlite": func(t *testing.T) (store.Store, error) { return sqlite.Open(t.Context(), t.TempDir(), options) },
		"postgres": func(t *testing.T) (store.Store, error) {
			return postgres.Open(t.Context(), pgtest.Database(t), options)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := open(t)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			m := newMemberTest(t, reg, s)
			t.Logf("seed %d", *seed)
			m.fill()
			for range 5 * *sequences {
				m.change()
				for _, c := range m.copies {
					if !c.lazy || m.IntN(3) == 0 {
						m.update(c)
					}
				}
			}
			if m.left == 0 {
				t.Error("nothing has left a filter")
			}
			t.Logf("%d left, %d entered without a change", m.left, m.entered)
		})
	}
}

// memberTest is a directory with copies of filters.
type memberTest struct {
	*testing.T
	*rand.Rand
	store     store.Store
	extractor *index.Extractor
	service   *export.Service
	copies    []*filterCopy
	writes    int

	left, entered int
}

// filterCopy is the copy of a client.
type filterCopy struct {
	name    string
	ctx     context.Context // with the principal
	filters []string
	since   string // "" before the first export
	lazy    bool   // it is not updated after each change

	lines map[rulestest.Name]string
	ever  map[rulestest.Name]bool // what it has received
}

func newMemberTest(t *testing.T, reg *conformance.Registry, s store.Store) *memberTest {
	t.Helper()
	m := &memberTest{T: t, Rand: rand.New(rand.NewPCG(*seed, 1)), store: s}
	var err error
	if m.extractor, err = index.NewExtractor(reg, rulestest.Base); err != nil {
		t.Fatal(err)
	}
	files, err := blob.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = files.Close() })
	m.service = export.New(export.Config{Store: s, Blobs: files, Compiler: search.New(reg, rulestest.Base, index.Zone()), BaseURL: rulestest.Base,
		Logger: slog.New(slog.DiscardHandler), PollLimit: export.PollOff, MembershipBytes: export.DefaultMembershipBytes,
		Suppressed: policy.SuppressedRules{Search: true}, Rules: export.DefaultRules()})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.service.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	known := auth.With(t.Context(), auth.Principal{ID: "known", Grants: auth.AllGrants()})
	beginning := "1999-12-31T00:00:00Z"
	states := []string{"Provenance?target:Location.address-city=Balmain", "Practitioner?active=false&family=Zo"}
	for _, c := range []filterCopy{
		{name: "example", ctx: known, filters: synth.ExampleOne},
		{name: "example, without suppressed", ctx: t.Context(), filters: synth.ExampleOne, since: beginning},
		{name: "all", ctx: known, filters: everyType(), since: beginning, lazy: true},
		{name: "states, without suppressed", ctx: t.Context(), filters: states, lazy: true},
	} {
		c.lines, c.ever = map[rulestest.Name]string{}, map[rulestest.Name]bool{}
		m.copies = append(m.copies, &c)
	}
	return m
}

// types are the types of the changes. Most change what filters follow.
var types = append([]string{"Location", "Location", "Location", "HealthcareService", "PractitionerRole", "PractitionerRole"}, rulestest.Types...)

func everyType() (filters []string) {
	for _, t := range rulestest.Types {
		filters = append(filters, t+"?_lastUpdated=ge1900-01-01")
	}
	return filters
}

// change puts or removes a few resources.
func (m *memberTest) change() {
	m.Helper()
	var source bytes.Buffer
	for range 1 + m.IntN(3) {
		typ := types[m.IntN(len(types))]
		if m.IntN(8) == 0 {
			t, _ := fhir.ParseType(typ)
			if _, err := m.store.Apply(m.Context(), []store.Change{{Type: t, ID: m.id(typ), Remove: true}}); err != nil {
				m.Fatal(err)
			}
			continue
		}
		source.Write(rulestest.Source(m.document(typ, m.id(typ))))
	}
	m.load(&source)
}

// ids is how many resources of each type there are.
const ids = 3

// fill puts all resources.
func (m *memberTest) fill() {
	m.Helper()
	var source bytes.Buffer
	for _, typ := range rulestest.Types {
		for n := range ids {
			source.Write(rulestest.Source(m.document(typ, fmt.Sprint(strings.ToLower(typ), n))))
		}
	}
	m.load(&source)
}

func (m *memberTest) load(source *bytes.Buffer) {
	m.Helper()
	summary, err := load.Run(m.Context(), load.Config{Directory: m.store, Extractor: m.extractor}, []load.Input{load.FromReader("step", source)})
	if err != nil || summary.RefusedTotal() > 0 {
		m.Fatalf("%d resources are refused, %v", summary.RefusedTotal(), err)
	}
}

func (m *memberTest) id(typ string) string { return fmt.Sprint(strings.ToLower(typ), m.IntN(ids)) }

func (m *memberTest) to(typ string) rulestest.Object {
	return rulestest.Object{"reference": typ + "/" + m.id(typ)}
}

// document draws a document of a type. The filters find about half of them.
func (m *memberTest) document(typ, id string) rulestest.Object {
	d := rulestest.Object{"resourceType": typ, "id": id}
	m.writes++
	switch typ {
	case "Location":
		d["address"] = rulestest.Object{"city": []string{"Balmain", "Rozelle"}[m.IntN(2)], "postalCode": "2041"}
		d["position"] = rulestest.Object{"latitude": json.Number("-33.8607"), "longitude": json.Number("151.1803")}
		d["managingOrganization"] = m.to("Organization")
	case "HealthcareService":
		d["type"] = []any{rulestest.Object{"coding": []any{rulestest.Object{"system": "http://snomed.info/sct", "code": []string{"789718008", "394579002"}[m.IntN(2)]}}}}
		d["providedBy"] = m.to("Organization")
		d["location"] = []any{m.to("Location")}
	case "PractitionerRole":
		d["practitioner"], d["organization"] = m.to("Practitioner"), m.to("Organization")
		d["location"] = []any{m.to("Location")}
		d["endpoint"] = []any{m.to("Endpoint")}
	case "Practitioner":
		d["name"] = []any{rulestest.Object{"family": []string{"Zo", "Ada"}[m.IntN(2)]}}
	case "Provenance":
		d["recorded"], d["target"] = "2026-01-02T03:04:05Z", []any{m.to([]string{"Location", "Practitioner"}[m.IntN(2)])}
		return d
	}
	if typ != "Practitioner" && typ != "Organization" {
		d["identifier"] = []any{rulestest.Object{"system": "http://digitalhealth.gov.au/fhir/hcpd/id/hcpd-local-identifier", "value": fmt.Sprint(d["id"], m.writes%2)}}
	}
	inactive := m.IntN(6) == 0
	switch {
	case typ == "Location" || typ == "Endpoint":
		d["status"] = "active"
		if inactive {
			d["status"] = map[string]string{"Location": "inactive", "Endpoint": "off"}[typ]
		}
	case inactive:
		d["active"] = false
	}
	if m.IntN(5) == 0 {
		by := "organisation-initiated"
		if typ == "Practitioner" {
			by = "practitioner-initiated"
		}
		coding := rulestest.Object{"system": "http://digitalhealth.gov.au/fhir/cc/CodeSystem/responsible-party-type", "code": by}
		d["extension"] = []any{rulestest.Object{"url": "http://digitalhealth.gov.au/fhir/cc/StructureDefinition/suppressed", "extension": []any{
			rulestest.Object{"url": "suppressedBy", "valueCodeableConcept": rulestest.Object{"coding": []any{coding}}}}}}
	}
	return d
}

// trackedManifest is the part of a manifest that a copy reads.
type trackedManifest struct {
	TransactionTime string
	Output, Deleted []struct{ Type, URL string }
	Extension       struct {
		Left       []struct{ Type, URL string }
		Membership string
	}
}

// run runs an export and returns its manifest.
func (m *memberTest) run(c *filterCopy, since string, tracked bool) (manifest trackedManifest) {
	m.Helper()
	var body []rulestest.Object
	value := func(name, member, text string) {
		body = append(body, rulestest.Object{"name": name, member: text})
	}
	var types []string
	for _, f := range c.filters {
		t, _, _ := strings.Cut(f, "?")
		types = append(types, t)
		value("_typeFilter", "valueString", f)
	}
	value("_type", "valueString", strings.Join(types, ","))
	value("_outputFormat", "valueString", "application/fhir+ndjson")
	if since != "" {
		value("_since", "valueInstant", since)
	}
	text, err := json.Marshal(rulestest.Object{"resourceType": "Parameters", "parameter": body})
	if err != nil {
		m.Fatal(err)
	}
	request, err := m.service.ParseRequest(c.ctx, text)
	if err != nil {
		m.Fatal(err)
	}
	request.TrackMembership = tracked
	id, err := m.service.KickOff(c.ctx, request)
	if err != nil {
		m.Fatal(err)
	}
	status, err := m.service.Poll(c.ctx, id)
	for ; err == nil && status.State.Live(); status, err = m.service.Poll(c.ctx, id) {
		time.Sleep(time.Millisecond)
	}
	if err != nil || status.State != store.Complete {
		m.Fatalf("%s: the export is %s: %s, %v", c.name, status.State, status.Reason, err)
	}
	if err := json.Unmarshal(status.Manifest, &manifest); err != nil {
		m.Fatal(err)
	}
	return manifest
}

// lines returns the lines of files.
func (m *memberTest) lines(c *filterCopy, files []struct{ Type, URL string }) (lines []string) {
	m.Helper()
	for _, f := range files {
		file, err := m.service.OpenFile(c.ctx, f.URL[strings.LastIndex(f.URL, "/")+1:])
		if err != nil {
			m.Fatal(err)
		}
		r, err := file.Identity()
		if err != nil {
			m.Fatal(err)
		}
		scanner := bufio.NewScanner(r)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			lines = append(lines, scanner.Text())
		}
		if err := scanner.Err(); err != nil {
			m.Fatal(err)
		}
		_, _ = r.Close(), file.Close()
	}
	return lines
}

// ofOutput returns the files of resources in output, without the removal List.
func ofOutput(manifest trackedManifest) []struct{ Type, URL string } {
	return slices.DeleteFunc(manifest.Output, func(f struct{ Type, URL string }) bool { return f.Type == "List" })
}

// update brings a copy up to date, and compares it with a full export.
func (m *memberTest) update(c *filterCopy) {
	m.Helper()
	manifest := m.run(c, c.since, true)
	if manifest.Extension.Membership != "kept" {
		m.Fatalf("%s: the membership is %q", c.name, manifest.Extension.Membership)
	}
	updates := c.since != "" && !strings.HasPrefix(c.since, "1999")
	output := map[rulestest.Name]bool{}
	for _, line := range m.lines(c, ofOutput(manifest)) {
		n := nameOf(m.T, line)
		if output[n] {
			m.Errorf("%s: %v is in the output twice", c.name, n)
		}
		if updates && c.lines[n] == "" && lastUpdated(m.T, line) <= instant(m.T, c.since) {
			m.entered++
		}
		c.lines[n], c.ever[n], output[n] = line, true, true
	}
	left := m.leftOf(c, manifest)
	if !updates && len(left)+len(manifest.Deleted) > 0 {
		m.Errorf("%s: an export for a client that holds nothing says that %v has left", c.name, left)
	}
	for _, n := range left {
		if output[n] && c.hides(c.lines[n]) {
			m.Errorf("%s: %v has left, but shows that it is hidden", c.name, n)
		}
		delete(c.lines, n)
		m.left++
	}
	for _, n := range m.deletedOf(c, manifest) {
		if slices.Contains(left, n) || output[n] {
			m.Errorf("%s: %v was removed, and is in another file too", c.name, n)
		}
		delete(c.lines, n)
	}
	c.since = manifest.TransactionTime
	fresh := map[rulestest.Name]string{}
	for _, line := range m.lines(c, ofOutput(m.run(c, "", false))) {
		fresh[nameOf(m.T, line)] = line
	}
	shown := maps.Clone(c.lines)
	maps.DeleteFunc(shown, func(_ rulestest.Name, line string) bool { return c.hides(line) })
	if !maps.Equal(shown, fresh) {
		m.Fatalf("seed %d: the copy %q shows\n%v\nand a full export has\n%v", *seed, c.name, sorted(shown), sorted(fresh))
	}
}

func sorted(lines map[rulestest.Name]string) string {
	return strings.Join(slices.Sorted(maps.Values(lines)), "\n")
}

// hides reports whether the client of a copy hides a line by what the line says. It does not look at
// a state for which a filter asks.
func (c *filterCopy) hides(line string) bool {
	var document rulestest.Object
	if json.Unmarshal([]byte(line), &document) != nil {
		return false
	}
	state := rulestest.StateOf(document)
	asked := slices.ContainsFunc(c.filters, func(f string) bool {
		return strings.HasPrefix(f, fmt.Sprint(document["resourceType"], "?active="))
	})
	return state.Suppressed || state.Inactive && !asked
}

// leftOf returns what has left the filters by a manifest. The copy has received all of it.
func (m *memberTest) leftOf(c *filterCopy, manifest trackedManifest) (left []rulestest.Name) {
	m.Helper()
	for _, line := range m.lines(c, manifest.Extension.Left) {
		var list struct {
			ResourceType, Mode string
			Entry              []struct {
				Deleted bool
				Item    struct{ Reference string }
			}
		}
		if err := json.Unmarshal([]byte(line), &list); err != nil || list.ResourceType != "List" || list.Mode != "changes" {
			m.Fatalf("not a List of changes: %s, %v", line, err)
		}
		for _, e := range list.Entry {
			n, ok := rulestest.ParseName(e.Item.Reference)
			if !ok || !e.Deleted || !c.ever[n] || slices.Contains(left, n) {
				m.Errorf("%s: the entry %+v of what has left; received: %v", c.name, e, c.ever[n])
			}
			left = append(left, n)
		}
	}
	return left
}

// deletedOf returns what was removed by a manifest.
func (m *memberTest) deletedOf(c *filterCopy, manifest trackedManifest) (names []rulestest.Name) {
	m.Helper()
	for _, line := range m.lines(c, manifest.Deleted) {
		var bundle struct {
			Entry []struct{ Request struct{ URL string } }
		}
		if err := json.Unmarshal([]byte(line), &bundle); err != nil {
			m.Fatal(err)
		}
		for _, e := range bundle.Entry {
			n, _ := rulestest.ParseName(e.Request.URL)
			names = append(names, n)
		}
	}
	return names
}

func nameOf(t *testing.T, line string) rulestest.Name {
	t.Helper()
	document, err := rulestest.Parse([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	return rulestest.NameOf(document)
}

func lastUpdated(t *testing.T, line string) fhir.Instant {
	t.Helper()
	_, rest, _ := strings.Cut(line, `"lastUpdated":"`)
	text, _, _ := strings.Cut(rest, `"`)
	return instant(t, text)
}

func instant(t *testing.T, text string) fhir.Instant {
	t.Helper()
	at, err := fhir.ParseInstant(text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
