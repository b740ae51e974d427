package load_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/load"
	"muster/internal/store"
	"muster/internal/synth"

	"github.com/google/go-cmp/cmp"
)

// change loads inputs as changes, and returns the summary and the refusals.
func (p *directory) change(inputs ...load.Input) (load.Summary, rejects) {
	p.Helper()
	var refused rejects
	s, err := load.Run(p.Context(), load.Config{Directory: p.store, Extractor: p.extractor, Changes: true, Rejects: &refused}, inputs)
	if err != nil {
		p.Fatal(err)
	}
	return s, refused
}

func lines(content string) load.Input { return load.FromReader("in", strings.NewReader(content)) }

// ids returns Type/id of all resources, in loading order and then in the order of their arrival.
func (p *directory) ids() (list []string) {
	p.Helper()
	for _, t := range fhir.Types() {
		err := p.store.EachCurrent(p.Context(), t, func(held store.Held) error {
			var r struct{ ResourceType, ID string }
			err := json.Unmarshal(held.Line, &r)
			list = append(list, r.ResourceType+"/"+r.ID)
			return err
		})
		if err != nil {
			p.Fatal(err)
		}
	}
	return list
}

func transaction(entries ...string) string {
	return `{"resourceType":"Bundle","type":"transaction","entry":[` + strings.Join(entries, ",") + `]}`
}

func entryPut(id string) string {
	return fmt.Sprintf(`{"resource":%s,"request":{"method":"PUT","url":"Location/%s"}}`, visible(fhir.Location, id, ""), id)
}

func entryDelete(url string) string {
	return fmt.Sprintf(`{"request":{"method":"DELETE","url":%q}}`, url)
}

// TestTransactions checks that PUT and DELETE of Bundles are applied in their order, in each layout
// of a Bundle, and that a second load changes nothing.
func TestTransactions(t *testing.T) {
	both(t, func(t *testing.T, p *directory) {
		p.load(visible(fhir.Location, "old", "") + "\n" + visible(fhir.Location, "older", ""))
		bundle := transaction(entryPut("a"), entryDelete("Location/old"), entryPut("b"), entryDelete("Location/b"), entryPut("c"),
			entryDelete("Location/c"), entryPut("c"), entryDelete("Location/never"), entryDelete(base+"/Location/older"))
		s, refused := p.change(lines(bundle))
		if len(refused) > 0 {
			t.Fatalf("refused: %+v", refused)
		}
		if s.Read != 9 || s.Created != 4 || s.Removed != 4 || s.Absent != 1 || s.Loaded() != 9 {
			t.Errorf("summary %+v; want 9 read, 4 created, 4 removed, 1 absent", s)
		}
		want := []string{"Location/a", "Location/c"}
		if diff := cmp.Diff(want, p.ids()); diff != "" {
			t.Errorf("resources (-want +got)\n%s", diff)
		}
		for _, again := range []string{strings.ReplaceAll(bundle, ",", ",\n"), bundle + "\n" + bundle} {
			if _, refused := p.change(lines(again)); len(refused) > 0 {
				t.Errorf("refused: %+v", refused)
			}
			if diff := cmp.Diff(want, p.ids()); diff != "" {
				t.Errorf("resources (-want +got)\n%s", diff)
			}
		}
	})
}

// TestRemovals checks lists of removals, and files of removals as manifests name them.
func TestRemovals(t *testing.T) {
	both(t, func(t *testing.T, p *directory) {
		var all []string
		for _, id := range []string{"a", "b", "c", "d"} {
			all = append(all, visible(fhir.Location, id, ""))
		}
		p.load(strings.Join(all, "\n"))
		s, refused := p.change(lines("Location/a\r\n\nLocation/zz\nPatient/p\nLocation/b/_history/1\n b \nLocation/b\n"), lines(transaction(entryDelete("Location/c"))+"\n"))
		if s.Removed != 3 || s.Absent != 1 || s.RefusedTotal() != 3 || s.Read != 7 {
			t.Errorf("summary %+v; want 7 read, 3 removed, 1 absent, 3 refused", s)
		}
		if diff := cmp.Diff([]string{"Location/d"}, p.ids()); diff != "" {
			t.Errorf("resources (-want +got)\n%s", diff)
		}
		want := []string{"4 the directory holds only", "5 this is not the type and the id", "6 this is not the type and the id"}
		for n, r := range refused {
			if got := fmt.Sprint(r.Line, " ", r.Reason); n >= len(want) || !strings.HasPrefix(got, want[n]) {
				t.Errorf("refusal %d is %q, want %q", n, got, want)
			}
		}
	})
}

// TestRefusedChanges checks which requests are refused, and that they change nothing.
func TestRefusedChanges(t *testing.T) { oneDatabase(t, testRefusedChanges) }

func testRefusedChanges(t *testing.T, p *directory) {
	p.load(visible(fhir.Location, "a", `,"description":"old"`))
	before := p.line(fhir.Location, "a")
	for name, c := range map[string]struct {
		entry string
		want  string
	}{
		"conditional delete":    {entryDelete("Location?status=active"), "entry[0].request.url: this is a conditional delete"},
		"delete of a type":      {entryDelete("Location"), "entry[0].request.url: this is not the type and the id"},
		"delete of a version":   {entryDelete("Location/a/_history/1"), "entry[0].request.url: this is not the type and the id"},
		"delete elsewhere":      {entryDelete("https://other.example/fhir/Location/a"), "entry[0].request.url: this is not the type and the id"},
		"delete without a URL":  {`{"request":{"method":"DELETE"}}`, "entry[0].request.url: this is not the type and the id"},
		"delete of other types": {entryDelete("Patient/a"), "entry[0].request.url: the directory holds only"},
		"delete if matched":     {`{"request":{"method":"DELETE","url":"Location/a","ifMatch":"W/\"1\""}}`, "entry[0].request.ifMatch: a load does not evaluate conditions"},
		"delete with a resource": {strings.Replace(entryPut("a"), "PUT", "DELETE", 1),
			"entry[0].resource: the entry deletes a resource and has one"},
		"put if none matches": {strings.Replace(entryPut("a"), `"url"`, `"ifNoneMatch":"*","url"`, 1), "entry[0].request.ifNoneMatch: a load does not evaluate conditions"},
		"conditional put":     {strings.Replace(entryPut("a"), `Location/a`, `Location?name=x`, 1), "entry[0].request.url: this is a conditional update"},
		"post":                {strings.NewReplacer("PUT", "POST", "Location/a", "Location").Replace(entryPut("a")), "entry[0].request.method: this is not PUT or DELETE"},
		"patch":               {strings.Replace(entryPut("a"), "PUT", "PATCH", 1), "entry[0].request.method: this is not PUT or "},
		"get":                 {`{"request":{"method":"GET","url":"Location/a"}}`, "entry[0]: the entry has no resource"},
	} {
		t.Run(name, func(t *testing.T) {
			s, refused := p.change(lines(transaction(c.entry)))
			if s.RefusedTotal() == 0 || s.Loaded() > 0 || !strings.HasPrefix(refused[0].Reason, c.want) {
				t.Errorf("refused %+v, want %q", refused, c.want)
			}
			if after := p.line(fhir.Location, "a"); after != before {
				t.Errorf("the resource is %s now", after)
			}
		})
	}
}

// TestChangesNeedTheOption checks that a load without changes removes nothing, and says what to do.
func TestChangesNeedTheOption(t *testing.T) {
	oneDatabase(t, func(t *testing.T, p *directory) {
		p.load(visible(fhir.Location, "a", ""))
		for _, content := range []string{transaction(entryDelete("Location/a")), "Location/a\n", `{"op":"remove","type":"Location","id":"a","before":1,"after":0}`} {
			s, refused, _ := p.load(content)
			if s.RefusedTotal() == 0 || s.Loaded() > 0 || !strings.Contains(refused[0].Reason, "--changes") {
				t.Errorf("%s: refused %+v, want the option", content, refused)
			}
		}
		if got := p.ids(); len(got) != 1 {
			t.Errorf("resources %q", got)
		}
	})
}

// TestDaysOfChanges applies generated days of changes and compares the directory with a replay of
// their files.
func TestDaysOfChanges(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "au")
	if _, err := synth.Generate(t.Context(), dir, synth.Options{Scale: synth.MinScale, Seed: 7, Days: 10}); err != nil {
		t.Fatal(err)
	}
	days := filepath.Join(dir, "delta")
	both(t, func(t *testing.T, p *directory) {
		first, _, err := load.Inputs([]string{dir}, nil)
		if err != nil {
			t.Fatal(err)
		}
		p.change(first...)
		want := map[string]bool{}
		for _, id := range p.ids() {
			want[id] = true
		}
		changed := replay(t, days, want)
		inputs, skipped, err := load.ChangeInputs([]string{days}, nil)
		if err != nil || len(inputs) != 10 || len(skipped) > 0 {
			t.Fatalf("%d inputs, not read %+v, %v; want 10 lists", len(inputs), skipped, err)
		}
		s, refused := p.change(inputs...)
		if len(refused) > 0 || s.Created == 0 || s.Updated == 0 || s.Removed == 0 || s.Absent > 0 || s.Unchanged > 0 || len(s.Dangling) > 0 {
			t.Errorf("summary %+v, refused %+v", s, refused)
		}
		got := p.ids()
		slices.Sort(got)
		if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), got); diff != "" {
			t.Errorf("resources (-want +got)\n%s", diff)
		}
		if s, _, _ := p.load(strings.Join(slices.Collect(maps.Values(changed)), "\n")); s.Unchanged != int64(len(changed)) {
			t.Errorf("of %d changed resources only %d are as in the files", len(changed), s.Unchanged)
		}
	})
}

// replay applies the files of days to the set of resources, and returns the last text of each
// changed one that exists.
func replay(t *testing.T, days string, ids map[string]bool) map[string]string {
	t.Helper()
	texts := map[string]string{}
	files, err := filepath.Glob(filepath.Join(days, "d*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files) // removed.ids is the last of each day
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			line = strings.TrimSpace(line)
			switch filepath.Ext(file) {
			case ".ids":
				delete(ids, line)
				delete(texts, line)
			case ".ndjson":
				var r struct{ ResourceType, ID string }
				if err := json.Unmarshal([]byte(line), &r); err != nil {
					t.Fatal(err)
				}
				ids[r.ResourceType+"/"+r.ID], texts[r.ResourceType+"/"+r.ID] = true, line
			}
		}
	}
	return texts
}

// TestDamagedFolderOfChanges checks that a folder whose files do not belong together is applied up
// to the change that is in doubt, and that the error names it.
func TestDamagedFolderOfChanges(t *testing.T) { oneDatabase(t, testDamagedFolder) }

func testDamagedFolder(t *testing.T, p *directory) {
	change := func(op, id string) string {
		return fmt.Sprintf(`{"op":%q,"type":"Location","id":%q,"before":1,"after":2}`, op, id)
	}
	list := func(all ...string) string { return strings.Join(all, "\n") + "\n" }
	a, b := visible(fhir.Location, "a", ""), visible(fhir.Location, "b", "")
	for name, c := range map[string]struct {
		files map[string]string
		want  string // of the error, "" for none
		ids   []string
	}{
		"whole":          {map[string]string{"changes.jsonl": list(change("create", "a"), change("move", "b"), change("remove", "old")), "Location.ndjson": list(a, b), "removed.ids": "Location/old\n"}, "", []string{"Location/a", "Location/b"}},
		"zipped":         {map[string]string{"changes.jsonl": list(change("create", "a")), "Location.ndjson.gz": gzipped(a), "removed.ids": ""}, "", []string{"Location/old", "Location/a"}},
		"no removed.ids": {map[string]string{"changes.jsonl": list(change("remove", "old"))}, "", nil},
		"no file":        {map[string]string{"changes.jsonl": list(change("remove", "old"), change("update", "a"))}, "changes.jsonl beyond line 2: it changes Location/a, but .*Location.ndjson does not exist", nil},
		"short file":     {map[string]string{"changes.jsonl": list(change("create", "a"), change("create", "b")), "Location.ndjson": list(a)}, "beyond line 2: it changes Location/b, but .*Location.ndjson ends before it", []string{"Location/old", "Location/a"}},
		"long file":      {map[string]string{"changes.jsonl": list(change("create", "a")), "Location.ndjson": list(a, b)}, "it ends, but .*Location.ndjson has more lines", []string{"Location/old", "Location/a"}},
		"other file":     {map[string]string{"changes.jsonl": list(change("remove", "old")), "Endpoint.ndjson": list(a)}, "it ends, but .*Endpoint.ndjson has more lines", nil},
		"other order":    {map[string]string{"changes.jsonl": list(change("create", "b"), change("create", "a")), "Location.ndjson": list(a, b)}, "it changes Location/b, but line 1 of .*Location.ndjson is another resource", []string{"Location/old"}},
		"other removal":  {map[string]string{"changes.jsonl": list(change("remove", "old")), "removed.ids": "Location/a\n"}, "it removes Location/old, but that is not the next line of .*removed.ids", []string{"Location/old"}},
		"more removals":  {map[string]string{"changes.jsonl": list(change("remove", "old")), "removed.ids": "Location/old\nLocation/a\n"}, "removed.ids has more lines", nil},
		"unknown change": {map[string]string{"changes.jsonl": list(change("rename", "old"), change("remove", "old"))}, "beyond line 1: the line is not a change", []string{"Location/old"}},
		"damaged line":   {map[string]string{"changes.jsonl": list(change("remove", "zz"), "{", change("remove", "old"))}, "beyond line 2: the line is not a change", []string{"Location/old"}},
		"bad resource":   {map[string]string{"changes.jsonl": list(change("create", "a"), change("create", "b")), "Location.ndjson": list("{", b)}, "", []string{"Location/old", "Location/b"}},
	} {
		t.Run(name, func(t *testing.T) {
			p.change(lines(strings.Join(p.ids(), "\n")))
			p.load(visible(fhir.Location, "old", ""))
			folder := t.TempDir()
			for name, content := range c.files {
				if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			inputs, _, err := load.ChangeInputs([]string{folder}, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = load.Run(t.Context(), load.Config{Directory: p.store, Extractor: p.extractor, Changes: true}, inputs)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !regexp.MustCompile(c.want).MatchString(err.Error())) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if diff := cmp.Diff(c.ids, p.ids()); diff != "" {
				t.Errorf("resources (-want +got)\n%s", diff)
			}
		})
	}
}

func gzipped(content string) string {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write([]byte(content))
	_ = w.Close()
	return out.String()
}

// TestDanglingSummary checks that the summary groups the references that dangle at the end of a
// load: not those whose target comes later, nor those of a resource that the load removes.
func TestDanglingSummary(t *testing.T) {
	to := func(id, org string) string {
		return visible(fhir.Location, id, fmt.Sprintf(`,"managingOrganization":{"reference":"Organization/%s"}`, org))
	}
	both(t, func(t *testing.T, p *directory) {
		s, _ := p.change(lines(strings.Join([]string{to("a", "later"), to("b", "never"), to("c", "never"), to("d", "never"),
			visible(fhir.Organization, "later", ""), transaction(entryDelete("Location/b"))}, "\n")))
		want := []load.DanglingGroup{{Member: "Location.managingOrganization", To: "Organization", Count: 2, Example: "Location/c"}}
		if diff := cmp.Diff(want, s.Dangling); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

// TestReferencesToRemoved checks that a load counts the references that its removals leave dangling,
// each once: those of resources that were stored before, that it stored itself before or after the
// removal, and those to a resource that was missing already; but not those to a resource that it
// creates again, nor those of resources that it removes or changes.
func TestReferencesToRemoved(t *testing.T) {
	to := func(id, org, more string) string {
		return visible(fhir.Location, id, fmt.Sprintf(`,"managingOrganization":{"reference":"%s"}%s`, org, more))
	}
	partOf := `,"partOf":{"reference":"Location/gone"}`
	both(t, func(t *testing.T, p *directory) {
		p.load(strings.Join([]string{
			visible(fhir.Organization, "gone", ""), visible(fhir.Organization, "again", ""), visible(fhir.Location, "gone", ""),
			to("stored", base+"/Organization/gone", partOf), to("removed", "Organization/gone", ""), to("changed", "Organization/gone", ""),
			to("kept", "Organization/again", ""), to("old", "Organization/missing", ""),
		}, "\n"))
		deltas := strings.Join([]string{
			to("before", "Organization/gone", ""),
			transaction(entryDelete("Organization/gone"), entryDelete("Location/gone"), entryDelete("Organization/again"), entryDelete("Organization/missing"), entryDelete("Location/removed")),
			to("after", "Organization/gone", partOf), to("changed", "Organization/again", ""), visible(fhir.Organization, "again", ""),
		}, "\n")
		want := []load.DanglingGroup{
			{Member: "Location.managingOrganization", To: "Organization", Count: 4, Example: "Location/before"},
			{Member: "Location.partOf", To: "Location", Count: 2, Example: "Location/after"},
		}
		for range 2 { // a load that is repeated says the same
			s, _ := p.change(lines(deltas))
			if diff := cmp.Diff(want, s.Dangling); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		}
	})
}
