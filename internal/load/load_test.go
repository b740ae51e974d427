package load

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/synth"
	"muster/internal/testkit/bound"

	"github.com/google/go-cmp/cmp"
)

func zipped(content string) string {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = io.WriteString(w, content)
	_ = w.Close()
	return out.String()
}

// indented returns JSON over several lines.
func indented(content string) string {
	return strings.NewReplacer("{", "{\n ", "[", "[\n ", ",", ",\n ").Replace(content)
}

func collection(entries ...string) string {
	return `{"resourceType":"Bundle","type":"collection","entry":[` + strings.Join(entries, ",") + `]}`
}

func resource(text string) string { return `{"resource":` + text + `}` }

func put(method, url, text string) string {
	return `{"resource":` + text + `,"request":{"method":"` + method + `","url":"` + url + `"}}`
}

// TestFormats loads the same resources in every format, which is detected from the content.
func TestFormats(t *testing.T) {
	a, b := org("a"), org("b")
	padding := `"link":[{"relation":"self","url":"http://x/` + strings.Repeat("x", 2*peekSize) + `"}]`
	for _, c := range []struct{ name, content string }{
		{"lines", a + "\n" + b + "\n"},
		{"lines without an end", a + "\n" + b},
		{"lines with mark, blanks and returns", "\xef\xbb\xbf" + a + "\r\n\r\n \t\n" + b + "\r\n"},
		{"zipped", zipped(a + "\n" + b + "\n")},
		{"zipped members", zipped(a+"\n") + zipped(b+"\n")},
		{"zipped, then padding", zipped(a+"\n") + zipped(b) + strings.Repeat("\x00", 100)},
		{"document with an item on each line", strings.Replace(a, `{`, "{\"contained\":[\n{\"resourceType\":\"Location\",\"id\":\"l\"}\n,\n{\"resourceType\":\"Location\",\"id\":\"m\"}\n],", 1) + "\n" + b},
		{"long document", "{\"resourceType\":\"Bundle\",\"entry\":[\n" + strings.Repeat(" \n", peekSize) + resource(a) + ",\n" + resource(b) + "]}"},
		{"document after document", indented(a) + "\n" + indented(b)},
		{"bundle on a line", collection(resource(a), resource(b))},
		{"bundles on lines", collection(resource(a)) + "\n" + collection(resource(b)) + "\n"},
		{"bundle over lines", indented(collection(resource(a), resource(b)))},
		{"bundle zipped", zipped(indented(collection(resource(a), resource(b))))},
		{"bundle after bundle", indented(collection(resource(a))) + indented(collection(resource(b)))},
		{"bundle with an entry on each line", strings.ReplaceAll(collection("\n"+resource(a), "\n"+resource(b)), "}}", "}}")},
		{"bundle with a long line", strings.Replace(collection(resource(a), resource(b)), `"entry"`, padding+`,"entry"`, 1)},
		{"bundle with late type", indented(`{"entry":[` + resource(a) + `,` + resource(b) + `],"resourceType":"Bundle"}`)},
		{"transaction", collection(put("PUT", "Organization/a", a), put("PUT", "Organization/b", b))},
		{"searchset", strings.Replace(collection(resource(a), resource(b)), "collection", "searchset", 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMemory()
			s, rejects, err := loadAll(t, m, text("in", c.content))
			if err != nil || len(rejects) > 0 {
				t.Fatalf("error %v, rejects %q", err, rejects)
			}
			if diff := cmp.Diff([]string{"Organization/a", "Organization/b"}, m.order); diff != "" {
				t.Errorf("loaded (-want +got):\n%s", diff)
			}
			if s.Read != 2 || s.Created != 2 {
				t.Errorf("summary %+v, want 2 read and created", s)
			}
		})
	}
}

// TestRejects checks that invalid input is rejected with file, line, type and id, and that
// the rest is loaded.
func TestRejects(t *testing.T) {
	a, b := org("a"), org("b")
	patient := `{"resourceType":"Patient","id":"p"}`
	for _, c := range []struct {
		name, content string
		loaded        []string
		rejects       []string // parts of the rejects
	}{
		{"bad lines", "x\n" + a + "\n\n" + patient + "\n" + b, []string{"Organization/a", "Organization/b"},
			[]string{"in:1 / at byte 1", "in:4 Patient/p resourceType: the directory"}},
		{"first line cut", a[:40] + "\n" + b + "\n", []string{"Organization/b"}, []string{"in:1 Organization/a the JSON text is cut off at byte 40"}},
		{"first line cut before an item", `{"resourceType":"Organization","id":"t0","name":"n","identifier":[` + "\n" + a + "\n" + b + "\n", []string{"Organization/a", "Organization/b"}, []string{"in:1 Organization/t0 the JSON text is cut off at byte 66"}},
		{"first line cut between items", `{"resourceType":"Organization","telecom":[{"system":"phone"},` + "\n" + a + "\n" + b + "\n", []string{"Organization/a", "Organization/b"}, []string{"in:1 / the JSON text is cut off"}},
		{"first line cut in arrays", `{"a":[[[[` + "\n" + a + "\n" + b + "\n", []string{"Organization/a", "Organization/b"}, []string{"in:1 / the JSON text is cut off"}},
		{"first line cut before a value", `{"a":` + "\n\n" + b, []string{"Organization/b"}, []string{"in:1 / the JSON text is cut off"}},
		{"first line of bundles cut", `{"resourceType":"Bundle","entry":[` + "\n" + collection(resource(a)) + "\n" + b + "\n", []string{"Organization/a", "Organization/b"}, []string{"in:1 / the JSON text is cut off"}},
		{"first two lines cut", `{"a":[` + "\n" + `{"b":[` + "\n" + a + "\n" + b + "\n" + org("c"), []string{"Organization/a", "Organization/b", "Organization/c"}, []string{"in:1 / the JSON", "in:2 / the JSON"}},
		{"huge line", a + "\n{\"resourceType\":\"Organization\",\"name\":\"" + strings.Repeat("x", fhir.MaxLine) + "\"}\n" + b, []string{"Organization/a", "Organization/b"}, []string{"in:2 / the line is longer"}},
		{"entries on a line", collection(resource(a), `{"fullUrl":"urn:x"}`, put("POST", "Organization", b), put("PUT", "Organization/c", b), resource(patient), `7`),
			[]string{"Organization/a", "Organization/b"},
			[]string{"in:1 / entry[1]: the entry has no resource", "in:1 Organization/b entry[3].request.url: the id differs", "in:1 Patient/p entry[4].resource.resourceType", "in:1 / entry[5]"}},
		{"entries over lines", "{\n\"resourceType\": \"Bundle\",\n\"entry\": [\n" + resource(patient) + ",\n" + resource(a) + "\n]}", []string{"Organization/a"},
			[]string{"in:4 Patient/p entry[0].resource.resourceType"}},
		{"bundle cut", "{\n\"resourceType\": \"Bundle\",\n\"entry\": [\n" + resource(a) + ",\n" + resource(b)[:30], []string{"Organization/a"},
			[]string{"the JSON text is cut off"}},
		{"bundle broken", "{\n\"resourceType\": \"Bundle\",\n\"entry\": [\n" + resource(a) + ";\n" + resource(b) + "]}", []string{"Organization/a"},
			[]string{"not well-formed here"}},
		{"history", strings.Replace(collection(resource(a)), "collection", "history", 1), nil, []string{"in:1 Organization/a a history Bundle"}},
		{"history over lines", indented(strings.Replace(collection(resource(a)), "collection", "history", 1)), nil, []string{"a history Bundle"}},
		{"history, type last", `{"resourceType":"Bundle","entry":[` + "\n" + put("PUT", "Organization/a", a) + ",\n" + `{"response":{"status":"200"},` + resource(b)[1:] + `],"type":"history"}`, nil,
			[]string{"in:2 Organization/a entry[0]: the entry may be an old version", "in:3 Organization/b entry[1]: the entry may be", "a history Bundle"}},
		{"transaction, type last", `{"resourceType":"Bundle","entry":[` + "\n" + put("PUT", "Organization/a", a) + `],"type":"transaction"}`, nil, []string{"in:2 Organization/a entry[0]: the entry may be"}},
		{"transaction over lines", `{"resourceType":"Bundle","type":"transaction","entry":[` + "\n" + put("PUT", "Organization/a", a) + `]}`, []string{"Organization/a"}, nil},
		{"collection, type last", `{"resourceType":"Bundle","entry":[` + "\n" + resource(a) + `],"type":"collection"}`, []string{"Organization/a"}, nil},
		{"other document", "{\n\"resourceType\": \"Patient\",\n\"id\": \"p\"}", nil, []string{"in:1 Patient/p"}},
		{"text", "# README\nwords\n", nil, []string{"in:1 / at byte 1", "in:2 / at byte 1"}},
		{"nothing", "", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMemory()
			s, rejects, err := loadAll(t, m, text("in", c.content))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.loaded, m.order); diff != "" {
				t.Errorf("loaded (-want +got):\n%s", diff)
			}
			if len(rejects) != len(c.rejects) {
				t.Fatalf("rejects %q, want %q", rejects, c.rejects)
			}
			for i, want := range c.rejects {
				if !strings.Contains(rejects[i], want) {
					t.Errorf("reject %d is %q, want it to contain %q", i, rejects[i], want)
				}
			}
			if s.RefusedTotal() != int64(len(rejects)) || s.Read != s.Created+s.RefusedTotal() {
				t.Errorf("summary %+v does not add up", s)
			}
		})
	}
}

// TestReasonsKeepValues checks that no reason repeats a value of the resource.
func TestReasonsKeepValues(t *testing.T) {
	const secret = "2426621B"
	var lines []string
	for _, bad := range []string{
		`"identifier":[{"system":"http://x","value":{"` + secret + `":1}}]`, `"identifier":"` + secret + `"`, `"partOf":{"reference":"Organization?identifier=` + secret + `"}`,
		`"active":"` + secret + `"`, `"telecom":[{"system":" ` + secret + `"}]`, `"` + secret + ` ":""`, `"name":"` + secret + `","name":"x"`, `"period":{"start":"` + secret + `"}`,
	} {
		lines = append(lines, `{"resourceType":"PractitionerRole","id":"a",`+bad+`}`)
	}
	lines = append(lines, `{"resourceType":"PractitionerRole","id":"`+secret+`#"}`, `{"resourceType":"`+secret+`","id":"a"}`)
	_, rejects, err := loadAll(t, newMemory(), text("in", strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(rejects, "\n"); strings.Contains(all, secret) || len(rejects) < 8 {
		t.Errorf("a reason repeats a value, or too little was refused:\n%s", all)
	}
}

// TestBrokenGzip checks that the lines before the damage and the other inputs are loaded,
// and that the error names the file and the line.
func TestBrokenGzip(t *testing.T) {
	var content strings.Builder
	for i := range 5000 {
		content.WriteString(org(fmt.Sprintf("o%d-%x", i, i*7919)) + "\n")
	}
	whole := zipped(content.String())
	m := newMemory()
	s, rejects, err := loadAll(t, m, text("cut.gz", whole[:len(whole)/2]), text("good", org("good")))
	if err == nil || !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "read cut.gz beyond line") {
		t.Errorf("error %v, want one that names the file and the line", err)
	}
	if s.Created < 1000 || m.order[0] != "Organization/o0-0" || m.order[len(m.order)-1] != "Organization/good" {
		t.Errorf("%d created, the last is %s", s.Created, m.order[len(m.order)-1])
	}
	if len(rejects) != 1 || s.Refused[BadInput] != 1 {
		t.Errorf("rejects %q, want only the truncation", rejects)
	}
	_, _, err = loadAll(t, newMemory(), text("head.gz", "\x1f\x8bxx"))
	if err == nil || !strings.Contains(err.Error(), "head.gz") {
		t.Errorf("error %v, want one that names the file", err)
	}
}

// TestNotices checks that bytes after gzip data are reported but are not an error, and that
// truncated gzip data after complete members is an error.
func TestNotices(t *testing.T) {
	s, _, err := loadAll(t, newMemory(), text("padded.gz", zipped(org("a"))+"\x1f"), text("good.gz", zipped(org("b"))))
	if err != nil || s.Created != 2 {
		t.Fatalf("%+v, %v; want 2 created", s, err)
	}
	if len(s.Notices) != 1 || !strings.HasPrefix(s.Notices[0], "padded.gz: ignored 1 bytes after the end") {
		t.Errorf("notices %q, want one of padded.gz", s.Notices)
	}
	s, _, err = loadAll(t, newMemory(), text("cut.gz", zipped(org("a")+"\n")+"\x1f\x8bxx"))
	if err == nil || s.Created != 1 || len(s.Notices) != 0 {
		t.Errorf("%+v, %v; want an error after 1 created, and no notice", s, err)
	}
}

// TestOrder checks that the lines of many batches are applied in the order of the source.
func TestOrder(t *testing.T) {
	var content strings.Builder
	var want []string
	for i := range 4500 {
		id := fmt.Sprintf("o%d", i)
		content.WriteString(org(id) + "\n")
		want = append(want, "Organization/"+id)
	}
	m := newMemory()
	if _, _, err := loadAll(t, m, text("in", content.String())); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, m.order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if m.batches != 5 {
		t.Errorf("%d batches, want 5", m.batches)
	}
	again, _, err := loadAll(t, m, text("in", content.String()))
	if err != nil || again.Unchanged != 4500 || again.Updated+again.Created != 0 {
		t.Errorf("the second time: %+v, %v; want all unchanged", again, err)
	}
}

// TestCancelled checks that a cancelled load ends and reports what was committed.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m := newMemory()
	m.apply = func(n int) error {
		if n == 2 {
			cancel()
			return ctx.Err()
		}
		return nil
	}
	reader, writer := io.Pipe() // never ends
	go func() {
		for i := 0; ; i++ {
			if _, err := io.WriteString(writer, org(fmt.Sprintf("o%d", i))+"\n"); err != nil {
				return
			}
		}
	}()
	defer reader.Close()
	s, err := Run(ctx, Config{Directory: m, Extractor: newExtractor(t)}, []Input{FromReader("pipe", reader)})
	if !errors.Is(err, context.Canceled) || s.Created != batchItems {
		t.Errorf("error %v after %d created; want the error of the context after %d", err, s.Created, batchItems)
	}
}

// TestDirectoryFails checks that an error of the directory ends the load and is returned.
func TestDirectoryFails(t *testing.T) {
	full := errors.New("the disk is full")
	m := newMemory()
	m.apply = func(int) error { return full }
	if _, _, err := loadAll(t, m, text("in", org("a"))); !errors.Is(err, full) {
		t.Errorf("error %v, want %v", err, full)
	}
}

// progressLog records the progress of a load.
type progressLog []Position

func (p *progressLog) Loaded(at Position) { *p = append(*p, at) }

// TestInputs checks files, folders in alphabetical order, and standard input. What a folder
// has beside data is named with the reason for which it is not read.
func TestInputs(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"b.json": indented(org("b")), "a.ndjson": org("a"), "sub/c.ndjson.gz": zipped(org("c")), "README.md": "words", "manifest.json": "{}", "sub/d.JSONL": org("d"), ".hidden.json": "x", "plain": org("p"),
		"e.xml": "<x/>", "f.csv": "id,name", ".git/x.json": "{}", "sub/e.jsonl.gz": zipped(org("e")), "delta/g.json": org("g"), "truth/h.json": org("h"),
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("nowhere", filepath.Join(dir, "dangling.json")), os.Symlink("sub", filepath.Join(dir, "link.json"))); err != nil {
		t.Fatal(err)
	}
	inputs, skipped, err := Inputs([]string{filepath.Join(dir, "plain"), dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, s := range skipped {
		name, _ := filepath.Rel(dir, s.Path)
		reasons = append(reasons, filepath.ToSlash(name)+": "+s.Reason)
	}
	if diff := cmp.Diff([]string{
		".git: hidden", ".hidden.json: hidden",
		"README.md: the name does not end in .json, .jsonl or .ndjson",
		"dangling.json: a symbolic link that leads nowhere",
		"e.xml: XML: convert it to FHIR in JSON", "f.csv: CSV: convert it to FHIR in JSON",
		"link.json: a symbolic link to a folder: name the folder to load it",
		"manifest.json: the manifest of an export or of a generated directory",
		"plain: the name does not end in .json, .jsonl or .ndjson",
	}, reasons); diff != "" {
		t.Errorf("not read (-want +got):\n%s", diff)
	}
	m, progress := newMemory(), progressLog{}
	if _, err := Run(t.Context(), Config{Directory: m, Extractor: newExtractor(t), Progress: &progress}, inputs); err != nil {
		t.Fatal(err)
	}
	want := []string{"Organization/p", "Organization/a", "Organization/b", "Organization/g", "Organization/c", "Organization/d", "Organization/e", "Organization/h"}
	if diff := cmp.Diff(want, m.order); diff != "" {
		t.Errorf("loaded (-want +got):\n%s", diff)
	}
	if last := progress[len(progress)-1]; last.Bytes != last.Total || last.Total == 0 || last.Summary.Created != int64(len(want)) {
		t.Errorf("the last report is %+v", last)
	}
	if linked, _, err := Inputs([]string{filepath.Join(dir, "link.json")}, nil); err != nil || len(linked) != 3 {
		t.Errorf("a link to a folder that is named: %d inputs, %v", len(linked), err)
	}
	stdin, _, err := Inputs([]string{"-"}, strings.NewReader(org("s")))
	if err != nil {
		t.Fatal(err)
	}
	if s, _, err := loadAll(t, m, stdin...); err != nil || s.Created != 1 {
		t.Errorf("standard input: %+v, %v", s, err)
	}
	for _, path := range []string{filepath.Join(dir, "none"), t.TempDir()} {
		if _, _, err := Inputs([]string{path}, nil); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want it to contain the path", path, err)
		}
	}
}

// TestFolderByType checks that files named after types are in loading order within the
// positions of their folder, so that a national directory in one folder has few pending
// references.
func TestFolderByType(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		"2026/Location.ndjson", "2026/Organization.ndjson", "Endpoint.ndjson", "Endpoints.ndjson", "HealthcareService.ndjson",
		"Location-10.ndjson.gz", "Location-2.ndjson", "Organization.json", "Practitioner.ndjson", "mixed.ndjson",
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inputs, _, err := Inputs([]string{filepath.Join(dir, "Practitioner.ndjson"), dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, in := range inputs {
		name, _ := filepath.Rel(dir, in.Name)
		names = append(names, filepath.ToSlash(name))
	}
	want := []string{
		"Practitioner.ndjson", // given as a file
		"2026/Organization.ndjson", "2026/Location.ndjson", "Organization.json", "Endpoints.ndjson", "Location-10.ndjson.gz",
		"Location-2.ndjson", "Endpoint.ndjson", "HealthcareService.ndjson", "Practitioner.ndjson", "mixed.ndjson",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("inputs (-want +got):\n%s", diff)
	}
}

// TestGeneratedFolder checks that only the first state of a generated directory is loaded
// with its folder, and that a folder of later changes can be named.
func TestGeneratedFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "au")
	if _, err := synth.Generate(t.Context(), dir, synth.Options{Scale: synth.MinScale, Seed: 42, Days: 1, Dirty: true}); err != nil {
		t.Fatal(err)
	}
	inputs, skipped, err := Inputs([]string{dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range inputs {
		if filepath.Dir(in.Name) != dir {
			t.Errorf("%s is not the first state", in.Name)
		}
	}
	if len(inputs) != len(fhir.Types()) {
		t.Errorf("%d files, want one of each type", len(inputs))
	}
	var names []string
	for _, s := range skipped {
		names = append(names, filepath.Base(s.Path))
	}
	if diff := cmp.Diff([]string{"delta", "manifest.json", "truth"}, names); diff != "" {
		t.Errorf("not read (-want +got):\n%s", diff)
	}
	day, skipped, err := Inputs([]string{filepath.Join(dir, "delta", "d001")}, nil)
	if err != nil || len(day) == 0 {
		t.Fatalf("%d files of changes: %v", len(day), err)
	}
	if _, rejects, err := loadAll(t, newMemory(), day...); err != nil || len(rejects) > 0 {
		t.Errorf("refused %q, %v", rejects, err)
	}
	if len(skipped) != 2 { // changes.jsonl and removed.ids
		t.Errorf("not read: %+v", skipped)
	}
}

// FuzzInput checks that a file of any bytes loads without a panic, and that the counts add
// up.
func FuzzInput(f *testing.F) {
	for _, seed := range []string{
		org("a") + "\n" + org("b"), indented(collection(resource(org("a")), put("POST", "x", org("b")))), zipped(org("a")),
		"{\n\"resourceType\":\"Bundle\"", "[\n{}\n]", "<Location xmlns=\"http://hl7.org/fhir\"><id value=\"a\"/></Location>", "id,name\na,b\n", "\xff\xfe{\x00}\x00",
		indented(synthea("Organization", "urn:uuid:1", "")) + collection(), "{\n\"resourceType\":\"Bundle\",\"entry\":[1,[],{\"resource\":{}}],\"entry\":2}",
	} {
		f.Add([]byte(seed))
	}
	extractor := newExtractor(f)
	f.Fuzz(func(t *testing.T, content []byte) { loadBounded(t, extractor, content) })
}

// maxHeld limits the growth of the heap while an input of a fuzz test is loaded, whatever
// its decompressed size: the buffers of a load and the directory of the test.
const maxHeld = 192 << 20

// loadBounded loads the content within the limits and checks that the summary is consistent.
func loadBounded(t *testing.T, extractor *index.Extractor, content []byte) {
	t.Helper()
	var rejects collect
	m := newMemory()
	bound.Peak(t, maxHeld, func() {
		s, err := Run(t.Context(), Config{Directory: m, Extractor: extractor, Rejects: &rejects}, []Input{FromReader("in", bytes.NewReader(content))})
		if (err != nil) != (s.Refused[BadInput] > 0) {
			t.Fatalf("error %v with %d broken inputs", err, s.Refused[BadInput])
		}
		if s.Read != s.Created+s.Updated+s.Unchanged+s.RefusedTotal() || int64(len(rejects)) != s.RefusedTotal() {
			t.Fatalf("%+v does not add up", s)
		}
	})
}

// maxUnzipped limits the decompressed size of a gzip input of a fuzz test, so that runs are
// short.
const maxUnzipped = 1 << 20

// FuzzGzip loads gzip streams, also ones with a high compression ratio, with a changed
// byte, truncated, or with bytes after the end.
func FuzzGzip(f *testing.F) {
	for _, text := range []string{org("a") + "\n", "", "\n", " ", indented(collection(resource(org("a")))), "{", `"`} {
		f.Add([]byte(text), uint32(1), uint32(0), byte(0), uint16(0), []byte(nil))
		f.Add([]byte(text), uint32(100_000), uint32(0), byte(0), uint16(0), []byte(zipped("x")))
		f.Add([]byte(text), uint32(3), uint32(3), byte(0x1f), uint16(0), []byte{0x1f, 0x8b})
		f.Add([]byte(text), uint32(3), uint32(20), byte(1), uint16(9), []byte("\x00\x00"))
	}
	extractor := newExtractor(f)
	f.Fuzz(func(t *testing.T, text []byte, times, at uint32, flip byte, cut uint16, trailing []byte) {
		content := strings.Repeat(string(text), min(int(times), maxUnzipped/max(1, len(text))))
		stream := []byte(zipped(content))
		stream[int(at)%len(stream)] ^= flip
		stream = append(stream[:len(stream)-int(cut)%len(stream)], trailing...)
		// A decompression bomb must not need the memory of its decompressed size; it is
		// read and refused.
		loadBounded(t, extractor, stream)
	})
}
