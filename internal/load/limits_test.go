package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"muster/internal/fhir"
	"muster/internal/r4"
	"muster/internal/testkit/bound"

	"github.com/valyala/fastjson"
)

// numbered returns n texts that differ, separated by commas.
func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// TestLimits checks each limit of one resource: at the limit it is loaded, and beyond it it is
// refused with the place and the limit.
func TestLimits(t *testing.T) {
	names := func(n int) string {
		return `{"resourceType":"Practitioner","id":"a","name":[` + numbered(n, `{"text":"n%d"}`) + `]}`
	}
	members := func(n int) string {
		return `{"resourceType":"Endpoint","id":"a","extension":[{"url":"http://x","x":{` + numbered(n, `"m%d":1`) + `}}]}`
	}
	values := func(n int) string { // in arrays that are not too long
		return `{"resourceType":"Practitioner","id":"a","name":[` + numbered(n/100, `{"prefix":[`+strings.TrimSuffix(strings.Repeat(`"x",`, 98), ",")+`],"_period":{"id":"%d"}}`) + `]}`
	}
	rows := func(n int) string {
		return `{"resourceType":"Practitioner","id":"a","name":[` + numbered(n, `{"text":"%0900d"}`) + `]}`
	}
	p := newPreparer(t)
	for _, c := range []struct{ name, within, beyond, want string }{
		{"items", names(MaxItems), names(MaxItems + 1), "name: at byte "},
		{"items of an unknown element", `{"resourceType":"Endpoint","id":"a","x":[{"y":[` + numbered(MaxItems, "%d") + `]}]}`,
			`{"resourceType":"Endpoint","id":"a","x":[{"y":[` + numbered(MaxItems+1, "%d") + `]}]}`, "x[0].y: at byte "},
		{"members", members(MaxMembers), members(MaxMembers + 1), "extension[0].x: at byte "},
		{"values", values(MaxValues - 1000), values(MaxValues + 1000), "the resource has more than 50,000 values up to here"},
		{"index rows", rows(60), rows(300), "of them for the search parameter name: at most 200,000 are stored"},
	} {
		if _, r := prepareText(p, c.within); r != nil {
			t.Errorf("%s: within the limit: %v", c.name, r)
		}
		if _, r := prepareText(p, c.beyond); r == nil || r.Kind != TooLarge || !strings.Contains(r.Error(), c.want) {
			t.Errorf("%s: beyond the limit: %v, want %q", c.name, r, c.want)
		}
	}
}

// TestEveryRepeatedElementIsLimited repeats each element of FHIR R4 that may repeat, of the
// types of the directory and of their data types. The refusal must name the element.
func TestEveryRepeatedElementIsLimited(t *testing.T) {
	tables, err := r4.Load()
	if err != nil {
		t.Fatal(err)
	}
	p := newPreparer(t)
	items := strings.TrimSuffix(strings.Repeat("0,", MaxItems+1), ",")
	checked := 0
	for _, name := range slices.Sorted(maps.Keys(tables.Elements)) {
		for _, e := range tables.Elements[name] {
			if !e.Many {
				continue
			}
			text, path := `{"resourceType":"Endpoint","id":"a","x":{"`+e.Name+`":[`+items+`]}}`, "x."+e.Name
			if _, ok := fhir.ParseType(name); ok {
				text, path = `{"resourceType":"`+name+`","id":"a","`+e.Name+`":[`+items+`]}`, e.Name
			}
			checked++
			if _, r := p.parse([]byte(text)); r == nil || r.Kind != TooLarge || r.Path != path || !strings.Contains(r.Text, "more than 10000 items") {
				t.Errorf("%s.%s: %v", name, e.Name, r)
			}
		}
	}
	if checked < 100 {
		t.Errorf("only %d elements repeat", checked)
	}
}

// TestEntriesAreNotLimited checks that the entries of a Bundle are not limited.
func TestEntriesAreNotLimited(t *testing.T) {
	entries := make([]string, MaxItems+1)
	for n := range entries {
		entries[n] = resource(fmt.Sprintf(`{"resourceType":"Endpoint","id":"e%d"}`, n))
	}
	m := newMemory()
	summary, rejects, err := loadAll(t, m, text("one line", collection(entries...)+"\n"+org("a")))
	if err != nil || summary.Created != int64(len(entries)+1) || len(rejects) > 0 {
		t.Errorf("%d of %d created, rejects %v, %v", summary.Created, len(entries)+1, rejects, err)
	}
}

// TestCostOfOneResource checks that each stage of a load costs time in proportion to the size
// of a resource, also without the limits of one resource, since a reindex has none: many
// elements of one kind, each of which a loop could compare with all others.
func TestCostOfOneResource(t *testing.T) {
	extractor := newExtractor(t)
	table, err := readRules()
	if err != nil {
		t.Fatal(err)
	}
	const prescriber = `{"system":"http://ns.electronichealth.net.au/id/medicare-prescriber-number","value":"%d"}`
	const old = `{"url":"http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/hc-suppressed","valueBoolean":false},{"url":"http://x/%d"}`
	const suppressed = `"http://digitalhealth.gov.au/fhir/cc/StructureDefinition/suppressed %d"`
	for _, c := range []struct {
		name string
		text func(n int) string
	}{
		{"names", func(n int) string { return `"name":[` + numbered(n, `{"family":"van der f%d","given":["g"]}`) + `]` }},
		{"identifiers", func(n int) string { return `"identifier":[` + numbered(n, `{"system":"http://x","value":"%d"}`) + `]` }},
		{"numbers of prescribers between others", func(n int) string {
			return `"identifier":[` + numbered(n/2, prescriber+`,{"value":"v"}`) + `]`
		}},
		{"old suppressions between other extensions", func(n int) string { return `"extension":[` + numbered(n/2, old) + `]` }},
		{"profiles", func(n int) string {
			return `"x":{"profile":[` + numbered(n, `"http://digitalhealth.gov.au/fhir/hcpd/StructureDefinition/hc-practitioner|%d"`) + `]}`
		}},
		{"references", func(n int) string {
			return `"extension":[` + numbered(n, `{"url":"http://x","valueReference":{"reference":"Location/%d"}}`) + `]`
		}},
		{"contained resources", func(n int) string {
			return `"contained":[` + numbered(n, `{"resourceType":"Location","id":"l%d"}`) + `]`
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bound.Linear(t, func(n int) func() {
				line := []byte(`{"resourceType":"Practitioner","id":"a","meta":{"versionId":"1"},` + c.text(n) + `}`)
				extract, err := NewExtractFunc(extractor)
				if err != nil {
					t.Fatal(err)
				}
				var parser fastjson.Parser
				return func() {
					if _, _, err := extract(nil, fhir.Practitioner, line); err != nil {
						t.Error(err)
					}
					checker := checker{shapes: table.shapes}
					if r := checker.resource("Practitioner", parse(t, &parser, line)); r != nil && r.Text != tooManyValues {
						t.Error(r)
					}
				}
			})
		})
	}
	for _, c := range []struct {
		name, text string // of a refused text, which is searched for resources
	}{
		{"ids", `{"resourceType":"Location","id":"l%d"} `},
		{"names of suppressions", suppressed + " "},
		{"types", `"resourceType" `},
		{"fullUrls", `"fullUrl":"urn:uuid:%d" `},
		{"brackets", `[{`},
	} {
		t.Run("refused "+c.name, func(t *testing.T) {
			bound.Linear(t, func(n int) func() {
				text := []byte("x" + strings.ReplaceAll(numbered(n/4, strings.ReplaceAll(c.text, "%d", "%[1]d")), ",", " "))
				return func() { findCandidates(text) }
			})
		})
	}
}

func parse(t *testing.T, p *fastjson.Parser, line []byte) *fastjson.Value {
	t.Helper()
	v, err := p.ParseBytes(line)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestStopWithinOneResource stops a load while it prepares a batch, and while it waits for an
// input that sends nothing. The load must end at once and commit nothing.
func TestStopWithinOneResource(t *testing.T) {
	stop := errors.New("stopped")
	extractor := newExtractor(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	p := newPreparer(t)
	b := newBatch()
	for n := range 100 {
		b.add(piece{file: "f", line: n, text: []byte(org(fmt.Sprint("o", n)))})
	}
	cancel(stop)
	b.prepare(ctx, p)
	if len(b.changes) > 0 || len(b.refused) > 0 {
		t.Errorf("a batch of a stopped load has %d changes and %d refusals", len(b.changes), len(b.refused))
	}
	v, _ := p.parse([]byte(org("o")))
	if _, r := p.prepare(ctx, v, nil); r == nil {
		t.Error("a resource was prepared to its end")
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		silent, sender := io.Pipe()
		m := newMemory()
		done := make(chan error)
		go func() {
			_, err := Run(ctx, Config{Directory: m, Extractor: extractor}, []Input{FromReader("silent", io.MultiReader(strings.NewReader(org("a")+"\n"), silent))})
			done <- err
		}()
		synctest.Wait() // until the load waits for the sender
		cancel(stop)
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the load ended with %v", err)
		}
		if err := sender.Close(); err != nil {
			t.Error(err)
		}
	})
}
