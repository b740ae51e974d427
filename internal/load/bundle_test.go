package load

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"muster/internal/testkit/bound"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// synthea returns an entry as Synthea writes them: a POST whose fullUrl is a urn:. The
// resource has no id, and refers to to unless that is empty.
func synthea(typeName, fullURL, to string) string {
	members := ""
	if to != "" {
		members = `,"endpoint":[{"reference":"` + to + `"}]`
	}
	return fmt.Sprintf(`{"fullUrl":%q,"resource":{"resourceType":%q%s},"request":{"method":"POST","url":%q}}`, fullURL, typeName, members, typeName)
}

// entry returns an entry with an id and a reference to another resource.
func entry(fullURL, typeName, id, to string) string {
	members := ""
	if to != "" {
		members = `,"endpoint":[{"reference":"` + to + `"}]`
	}
	return fmt.Sprintf(`{"fullUrl":%q,"resource":{"resourceType":%q,"id":%q%s}}`, fullURL, typeName, id, members)
}

func bundleOf(kind string, entries ...string) string {
	return strings.Replace(collection(entries...), "collection", kind, 1)
}

// references returns the references of the stored resources, in any order of members, as
// "from to".
func references(t testing.TB, m *memory) (list []string) {
	t.Helper()
	for key, c := range m.current {
		var v any
		if err := json.Unmarshal(c.Document.Line(1, stamp), &v); err != nil {
			t.Fatal(err)
		}
		var walk func(any)
		walk = func(v any) {
			switch v := v.(type) {
			case map[string]any:
				if text, ok := v["reference"].(string); ok {
					list = append(list, key+" "+text)
				}
				for _, inner := range v {
					walk(inner)
				}
			case []any:
				for _, inner := range v {
					walk(inner)
				}
			}
		}
		walk(v)
	}
	slices.Sort(list)
	return list
}

// forms are the ways in which a Bundle can arrive. Each form reads it by another path.
var forms = map[string]func(testing.TB, string) Input{
	"line":          func(_ testing.TB, bundle string) Input { return text("in", bundle+"\n"+org("other")) },
	"document":      func(_ testing.TB, bundle string) Input { return text("in", indented(org("other"))+indented(bundle)) },
	"stream":        func(_ testing.TB, bundle string) Input { return text("in", indented(bundle)) },
	"zipped stream": func(_ testing.TB, bundle string) Input { return text("in", zipped(indented(bundle))) },
	"file":          func(t testing.TB, bundle string) Input { return inFile(t, "in.json", indented(bundle)) },
	"zipped file":   func(t testing.TB, bundle string) Input { return inFile(t, "in.json.gz", zipped(indented(bundle))) },
}

// inFile returns the input that is a file.
func inFile(t testing.TB, name, content string) Input {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	inputs, _, err := Inputs([]string{path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return inputs[0]
}

// TestReferencesByFullURL loads Bundles whose entries refer to each other by fullUrl. They
// are stored as Type/id in every form of input, whatever the type of the Bundle, the order of
// the entries and the element.
func TestReferencesByFullURL(t *testing.T) {
	const (
		server = "https://source.example/r4"
		uuid   = "urn:uuid:0b1f6f5e-8f0a-4d8c-9a51-000000000001"
		oid    = "urn:oid:1.2.36.1"
	)
	derived := idOfURL(uuid, "Endpoint")
	put := func(fullURL, id, to string) string {
		return strings.TrimSuffix(entry(fullURL, "Organization", id, to), "}") + `,"request":{"method":"PUT","url":"Organization/` + id + `"}}`
	}
	for _, c := range []struct {
		name, bundle string
		want         []string
		warned       map[Kind]int64
	}{
		{"collection, target later", bundleOf("collection", entry(uuid+"2", "Organization", "a", uuid), entry(uuid, "Endpoint", "e", "")),
			[]string{"Organization/a Endpoint/e"}, nil},
		{"collection, target earlier", bundleOf("collection", entry(uuid, "Endpoint", "e", ""), entry(uuid+"2", "Organization", "a", uuid)),
			[]string{"Organization/a Endpoint/e"}, nil},
		{"UUID in other letters", bundleOf("collection", entry(strings.ToUpper(uuid), "Endpoint", "e", ""), entry(uuid+"2", "Organization", "a", uuid)),
			[]string{"Organization/a Endpoint/e"}, nil},
		{"batch, by OID", bundleOf("batch", put("urn:oid:1.2.36.2", "a", oid), entry(oid, "Endpoint", "e", "")),
			[]string{"Organization/a Endpoint/e"}, nil},
		{"transaction without ids", bundleOf("transaction", synthea("Organization", uuid+"2", uuid), synthea("Endpoint", uuid, "")),
			[]string{"Organization/" + idOfURL(uuid+"2", "Organization") + " Endpoint/" + derived}, nil},
		{"searchset, absolute on its own server", bundleOf("searchset", entry(server+"/Organization/a", "Organization", "a", server+"/Endpoint/e"), entry(server+"/Endpoint/e", "Endpoint", "e", "")),
			[]string{"Organization/a Endpoint/e"}, nil},
		{"searchset, target elsewhere in the directory", bundleOf("searchset", entry(server+"/Organization/a", "Organization", "a", server+"/Endpoint/gone")),
			[]string{"Organization/a Endpoint/gone"}, map[Kind]int64{Dangling: 1}},
		{"fullUrl that is not a resource URL", bundleOf("collection", entry("https://source.example/things?n=1", "Endpoint", "e", ""), entry(uuid, "Organization", "a", "https://source.example/things?n=1")),
			[]string{"Organization/a Endpoint/e"}, nil},
		{"fullUrl that looks like one", bundleOf("collection", entry("https://source.example/Things/1", "Endpoint", "e", ""), entry(uuid, "Organization", "a", "https://source.example/Things/1")),
			[]string{"Organization/a Endpoint/e"}, nil},
		{"versions are kept", bundleOf("collection", entry(server+"/Organization/a", "Organization", "a", server+"/Endpoint/e/_history/2"), entry(uuid, "Organization", "b", uuid+"3/_history/4"),
			entry(server+"/Endpoint/e", "Endpoint", "e", ""), entry(uuid+"3", "Endpoint", "f", "")),
			[]string{"Organization/a Endpoint/e/_history/2", "Organization/b Endpoint/f/_history/4"}, nil},
		{"fragments are kept", bundleOf("collection", strings.Replace(entry(uuid, "Organization", "a", "#e"), `"endpoint"`, `"contained":[{"resourceType":"Endpoint","id":"e"}],"endpoint"`, 1)),
			[]string{"Organization/a #e"}, nil},
		{"own address of the directory", bundleOf("collection", entry(uuid, "Organization", "a", base+"/Endpoint/e"), entry(uuid+"2", "Endpoint", "e", "")),
			[]string{"Organization/a Endpoint/e"}, nil},
		{"another server", bundleOf("collection", entry(uuid, "Organization", "a", "https://other.example/Endpoint/e"), entry(server+"/Endpoint/e", "Endpoint", "e", "")),
			[]string{"Organization/a https://other.example/Endpoint/e"}, nil},
		{"urn: of no entry", bundleOf("collection", entry(uuid, "Organization", "a", uuid+"9")),
			[]string{"Organization/a " + uuid + "9"}, map[Kind]int64{Dangling: 1}},
		{"any element", bundleOf("collection", entry(uuid, "Organization", "a", ""), `{"fullUrl":"urn:uuid:9","resource":{"resourceType":"Provenance","id":"v","target":[{"reference":"`+uuid+`"}],
			"recorded":"2026-01-01T00:00:00Z","agent":[{"who":{"reference":"`+uuid+`"}}],"entity":[{"role":"source","what":{"reference":"urn:uuid:9"}}],
			"extension":[{"url":"http://x","valueReference":{"reference":"`+uuid+`"}}],"contained":[{"resourceType":"Location","id":"l","managingOrganization":{"reference":"`+uuid+`"}}]}}`),
			[]string{"Provenance/v Organization/a", "Provenance/v Organization/a", "Provenance/v Organization/a", "Provenance/v Organization/a", "Provenance/v Provenance/v"}, nil},
		{"a type outside the directory", bundleOf("collection", entry(uuid, "Organization", "a", uuid+"2"), `{"fullUrl":"`+uuid+`2","resource":{"resourceType":"Device","id":"d"}}`),
			[]string{"Organization/a Device/d"}, map[Kind]int64{Dangling: 1}},
	} {
		for form, input := range forms {
			t.Run(c.name+"/"+form, func(t *testing.T) {
				m := newMemory()
				s, _, err := loadAll(t, m, input(t, c.bundle))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.want, references(t, m)); diff != "" {
					t.Errorf("references (-want +got):\n%s", diff)
				}
				for kind, n := range c.warned {
					if s.Warned[kind] != n {
						t.Errorf("warned %v, want %d of %q", s.Warned, n, kind)
					}
				}
				if c.warned == nil && s.Warned[Dangling] > 0 {
					t.Errorf("warned %v, want no dangling reference", s.Warned)
				}
				again, _, err := loadAll(t, m, input(t, c.bundle))
				if err != nil || again.Created+again.Updated > 0 {
					t.Errorf("the second load: %+v, %v; want no change", again, err)
				}
			})
		}
	}
}

// TestOwnAddress checks references outside Bundles: below the base URL of the directory they
// are stored as Type/id, a urn: is dangling, and others are counted by server.
func TestOwnAddress(t *testing.T) {
	lines := ""
	for n, to := range []string{
		base + "/Organization/t", base + "/Organization/t/_history/3", base + "x/Organization/t", base + "/metadata", "urn:uuid:1", "URN:oid:1.2",
		"https://other.example/a/Organization/t", "https://other.example/a/Organization/u/_history/1", "http://user:secret@third.example/x?y=1", "mailto:x@example.org",
	} {
		lines += fmt.Sprintf(`{"resourceType":"Location","id":"l%d","managingOrganization":{"reference":%q}}`+"\n", n, to)
	}
	m := newMemory()
	var warnings collect
	s, err := Run(t.Context(), Config{Directory: m, Extractor: newExtractor(t), Warnings: &warnings}, []Input{text("in", lines+org("t"))})
	if err != nil || s.RefusedTotal() > 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	if diff := cmp.Diff([]string{
		"Location/l0 Organization/t", "Location/l1 Organization/t/_history/3", "Location/l2 " + base + "x/Organization/t", "Location/l3 " + base + "/metadata", "Location/l4 urn:uuid:1", "Location/l5 URN:oid:1.2",
		"Location/l6 https://other.example/a/Organization/t", "Location/l7 https://other.example/a/Organization/u/_history/1", "Location/l8 http://user:secret@third.example/x?y=1", "Location/l9 mailto:x@example.org",
	}, references(t, m)); diff != "" {
		t.Errorf("references (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int64{base + "x": 1, "http://localhost:8080": 1, "https://other.example/a": 2, "http://third.example": 1}, s.Outside); diff != "" {
		t.Errorf("outside (-want +got):\n%s", diff)
	}
	var dangling []string
	for _, w := range warnings {
		if w.Kind == Dangling {
			dangling = append(dangling, fmt.Sprint(w.Line, " ", w.ID, " ", w.Reason))
		}
	}
	const reason = "managingOrganization: it refers to a urn: that is not the fullUrl of an entry of its Bundle: write Type/id"
	if diff := cmp.Diff([]string{"5 l4 " + reason, "6 l5 " + reason}, dangling); diff != "" {
		t.Errorf("dangling (-want +got):\n%s", diff)
	}
}

// TestManyServers checks that the servers of a summary are limited.
func TestManyServers(t *testing.T) {
	var lines strings.Builder
	for n := range maxOutside + 7 {
		fmt.Fprintf(&lines, `{"resourceType":"Location","id":"l%d","partOf":{"reference":"https://s%d.example/Location/1"}}`+"\n", n, n)
	}
	s, _, err := loadAll(t, newMemory(), text("in", lines.String()))
	if err != nil || len(s.Outside) != maxOutside+1 || s.Outside[""] != 7 {
		t.Errorf("%d servers, %d references to others, %v", len(s.Outside), s.Outside[""], err)
	}
}

// TestEntryNames checks which entries are loaded, under which name, and with which reason
// others are refused.
func TestEntryNames(t *testing.T) {
	const urn = "urn:uuid:0b1f6f5e-8f0a-4d8c-9a51-000000000001"
	request := func(method, url, more string) string {
		return fmt.Sprintf(`"request":{"method":%q,"url":%q%s}`, method, url, more)
	}
	full := func(url string) string { return fmt.Sprintf(`"fullUrl":%q,`, url) }
	const withID, without = `"resource":{"resourceType":"Organization","id":"a"}`, `"resource":{"resourceType":"Organization","name":"x"}`
	derived := "Organization/" + idOfURL(urn, "Organization")
	for _, c := range []struct{ name, entry, loaded, reject string }{
		{"no request", withID, "Organization/a", ""},
		{"PUT", withID + "," + request("PUT", "Organization/a", ""), "Organization/a", ""},
		{"PUT below the base URL", withID + "," + request("PUT", base+"/Organization/a", ""), "Organization/a", ""},
		{"POST with an id", full(urn) + withID + "," + request("POST", "Organization", ""), "Organization/a", ""},
		{"POST without an id", full(urn) + without + "," + request("POST", "Organization", ""), derived, ""},
		{"no request, no id", full(urn) + without, derived, ""},
		{"no id, fullUrl of a resource", full("https://x.example/Organization/b") + without, "Organization/b", ""},
		{"no id, fullUrl of another type", full("https://x.example/Things/b") + without, "Organization/" + idOfURL("https://x.example/Things/b", "Organization"), ""},
		{"conditional create", full(urn) + without + "," + request("POST", "Organization", `,"ifNoneExist":"name=x"`), derived, ""},
		{"POST with neither", without + "," + request("POST", "Organization", ""), "", "Organization/ entry[0].resource.id: the resource has no id, and the entry no fullUrl to derive one from: write one of them"},
		{"neither", without, "", "Organization/ entry[0].resource.id: the resource has no id, and the entry no fullUrl"},
		{"fullUrl that is no URI", full("1") + without, "", "Organization/ entry[0].resource.id: the resource has no id, and the fullUrl is not an absolute URI"},
		{"POST of another type", withID + "," + request("POST", "Location", ""), "", "Organization/a entry[0].request.url: the URL of this POST is not the type of the resource"},
		{"POST with slashes", withID + "," + request("POST", "/Organization/", ""), "", "Organization/a entry[0].request.url: the URL of this POST is not the type of the resource"},
		{"Bundle in a Bundle", `"resource":{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Organization","id":"a"}}]}`, "", "Organization/a entry[0].resource: this is a Bundle in a Bundle"},
		{"PUT to another id", withID + "," + request("PUT", "Organization/b", ""), "", "Organization/a entry[0].request.url: the id differs from that of the resource"},
		{"PUT to another type", withID + "," + request("PUT", "Location/a", ""), "", "Organization/a entry[0].request.url: the type differs from that of the resource"},
		{"PUT to another resource", withID + "," + request("PUT", "Location/b", ""), "", "Organization/a entry[0].request.url: the type and the id differ"},
		{"PUT without an id", full(urn) + without + "," + request("PUT", "Organization/a", ""), "", "Organization/a entry[0].request.url: the resource has no id: write that of the URL"},
		{"conditional update", withID + "," + request("PUT", "Organization?identifier=x|1", ""), "", "Organization/a entry[0].request.url: this is a conditional update: a load does not search"},
		{"PUT of a version", withID + "," + request("PUT", "Organization/a/_history/1", ""), "", "Organization/a entry[0].request.url: this is not the type and the id"},
		{"GET", withID + "," + request("GET", "Organization/a", ""), "", "Organization/a entry[0].request.method: this is not PUT or POST"},
		{"PATCH", withID + "," + request("PATCH", "Organization/a", ""), "", "Organization/a entry[0].request.method: this is not PUT or POST"},
		{"request without a method", withID + `,"request":{"url":"Organization/a"}`, "", "Organization/a entry[0].request.method: this is not PUT or POST"},
		{"DELETE", request("DELETE", "Organization/a", ""), "", "Organization/a entry[0]: the entry deletes a resource: a load removes resources only with --changes"},
		{"DELETE of another type", request("DELETE", "Patient/p", ""), "", "Patient/p entry[0]: the entry deletes a resource"},
		{"only a fullUrl", full("https://x.example/Organization/b") + `"search":{"mode":"match"}`, "", "Organization/b entry[0]: the entry has no resource: write one"},
		{"fullUrl of another id", full("https://x.example/Organization/b") + withID, "", "Organization/a entry[0].fullUrl: the id differs from that of the resource"},
		{"fullUrl of another type", full("https://x.example/Location/a") + withID, "", "Organization/a entry[0].fullUrl: the type differs from that of the resource"},
		{"conditional reference", `"resource":{"resourceType":"Organization","id":"a","partOf":{"reference":"Organization?identifier=x|1"}}`, "",
			"Organization/a entry[0].resource.partOf.reference: this is a conditional reference: a load does not search"},
		{"conditional reference to its own server", full("https://x.example/Organization/a") + `"resource":{"resourceType":"Organization","id":"a","partOf":{"reference":"https://x.example/Organization?identifier=x|1"}}`, "",
			"Organization/a entry[0].resource.partOf: this is a conditional reference"},
		{"conditional reference below the base URL", `"resource":{"resourceType":"Organization","id":"a","extension":[{"url":"http://x","valueReference":{"reference":"` + base + `/Organization?identifier=x|1"}}]}`, "",
			"Organization/a entry[0].resource.extension: this is a conditional reference"},
	} {
		for _, form := range []string{"line", "stream"} {
			t.Run(c.name+"/"+form, func(t *testing.T) {
				m := newMemory()
				content := bundleOf("transaction", "{"+c.entry+"}")
				if form == "stream" {
					content = indented(content)
				}
				s, rejects, err := loadAll(t, m, text("in", content))
				if err != nil {
					t.Fatal(err)
				}
				if got := strings.Join(m.order, " "); got != c.loaded {
					t.Errorf("loaded %q, want %q", got, c.loaded)
				}
				if c.reject == "" && len(rejects) > 0 || c.reject != "" && (len(rejects) != 1 || !strings.Contains(rejects[0], c.reject)) {
					t.Errorf("rejects %q, want %q", rejects, c.reject)
				}
				if conditions := int64(strings.Count(c.entry, "ifNoneExist")); s.Warned[NotEvaluated] != conditions {
					t.Errorf("warned %v, want %d conditions", s.Warned, conditions)
				}
			})
		}
	}
}

// TestSameFullURL checks Bundles in which entries share a fullUrl: several versions of one
// resource are loaded in their order; different resources are all refused, and references to
// the fullUrl dangle.
func TestSameFullURL(t *testing.T) {
	const urn = "urn:uuid:1"
	for form, input := range forms {
		t.Run(form, func(t *testing.T) {
			m := newMemory()
			bundle := bundleOf("collection", entry(urn, "Organization", "a", ""), strings.Replace(entry(urn, "Organization", "a", ""), `"id"`, `"name":"second","id"`, 1), entry("urn:uuid:2", "Location", "l", urn))
			s, rejects, err := loadAll(t, m, input(t, bundle))
			if err != nil || len(rejects) > 0 || s.Updated != 1 || !strings.Contains(string(m.current["Organization/a"].Document.Tail), "second") {
				t.Errorf("two versions: %+v, %q, %v", s, rejects, err)
			}
			m = newMemory()
			bundle = bundleOf("collection", entry(urn, "Organization", "a", ""), entry(urn, "Organization", "b", ""), entry("urn:uuid:2", "Location", "l", urn),
				synthea("Endpoint", "urn:uuid:3", ""), synthea("Endpoint", "urn:uuid:3", ""))
			s, rejects, err = loadAll(t, m, input(t, bundle))
			if err != nil || len(rejects) != 4 || s.Warned[Dangling] != 1 || !slices.Contains(m.order, "Location/l") {
				t.Errorf("two resources: %+v, %q, %v", s, rejects, err)
			}
			for _, r := range rejects {
				if !strings.Contains(r, ".fullUrl: another resource of the Bundle has the same fullUrl: give each its own") {
					t.Errorf("reason %q", r)
				}
			}
		})
	}
}

// TestBundlesInOneInput checks that each Bundle of an input has its own fullUrls, also after
// a Bundle that cannot be read.
func TestBundlesInOneInput(t *testing.T) {
	one := bundleOf("collection", entry("urn:uuid:1", "Organization", "a", "urn:uuid:2"), entry("urn:uuid:2", "Endpoint", "e", ""))
	two := bundleOf("collection", entry("urn:uuid:1", "Organization", "b", "urn:uuid:2"), entry("urn:uuid:2", "Endpoint", "f", ""))
	three := bundleOf("collection", entry("urn:uuid:3", "Organization", "c", "urn:uuid:2"))
	for name, content := range map[string]string{
		"lines": one + "\n" + two + "\n" + three, "stream": indented(one) + "\n" + collection() + indented(two) + indented(three),
	} {
		m := newMemory()
		_, rejects, err := loadAll(t, m, text("in", content))
		if err != nil || len(rejects) > 0 {
			t.Fatalf("%s: %q, %v", name, rejects, err)
		}
		if diff := cmp.Diff([]string{"Organization/a Endpoint/e", "Organization/b Endpoint/f", "Organization/c urn:uuid:2"}, references(t, m)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestDerivedIDIsFixed fixes the derivation of ids: a change would store every such resource
// a second time.
func TestDerivedIDIsFixed(t *testing.T) {
	for url, want := range map[string]string{
		"urn:uuid:0b1f6f5e-8f0a-4d8c-9a51-000000000001": "0c011824-42f5-5be3-b3c3-ae6e01a65bd2",
		"https://x.example/Organization/b":              "b",
		"https://x.example/Organization/b/_history/2":   "b",
		"no URI": "",
		"":       "",
	} {
		if got := idOfURL(url, "Organization"); got != want {
			t.Errorf("the id of %q is %q, want %q", url, got, want)
		}
	}
}

// TestSpool checks the copy of an input that can be read once: it is read to the same end,
// and the temporary file is removed.
func TestSpool(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	bundle := indented(bundleOf("collection", entry("urn:uuid:1", "Organization", "a", "urn:uuid:2"), entry("urn:uuid:2", "Endpoint", "e", "")))
	whole := zipped(bundle)
	for name, c := range map[string]struct {
		content string
		broken  bool
		loaded  int
	}{
		"whole": {bundle, false, 2}, "gzip": {whole, false, 2}, "cut": {bundle[:len(bundle)-20], false, 1}, "cut gzip": {whole[:len(whole)-30], true, 0},
	} {
		m := newMemory()
		s, _, err := loadAll(t, m, text("in", c.content))
		if (err != nil) != c.broken || s.Refused[BadInput] > 0 != c.broken {
			t.Errorf("%s: error %v, %+v", name, err, s)
		}
		if !c.broken && len(m.order) != c.loaded {
			t.Errorf("%s: loaded %q", name, m.order)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: %d files are left, %v", name, len(left), err)
		}
	}
	t.Setenv("TMPDIR", filepath.Join(dir, "nowhere"))
	_, _, err := loadAll(t, newMemory(), text("in", bundle))
	if err == nil || !strings.Contains(err.Error(), "copy in, a Bundle that is read twice, to a temporary file: ") || !strings.Contains(err.Error(), "TMPDIR") {
		t.Errorf("no folder for temporary files: %v", err)
	}
	if s, _, err := loadAll(t, newMemory(), text("in", org("z")), inFile(t, "b.json", bundle)); err != nil || s.Created != 3 {
		t.Errorf("inputs that need no copy: %+v, %v", s, err)
	}
}

// TestFullURLSize checks that an entry in the map takes no more memory than documented for
// maxFullURLs, and that searchsets take none for each entry.
func TestFullURLSize(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: measures memory")
	}
	const entries, most = 25_000, 120
	p := newPreparer(t)
	add := func(u *fullURLs, budget *fullURLBudget, url string, n int) *fullURLs {
		v, r := p.parse([]byte(entry(url, "Organization", fmt.Sprintf("%08d-93a5-4b2e-8f0a-5d1c7b9e6f42", n), "")))
		if r != nil {
			t.Fatal(r)
		}
		return u.add(v, budget)
	}
	var u *fullURLs
	var budget fullURLBudget
	before := liveHeap()
	for n := range entries {
		u = add(u, &budget, fmt.Sprintf("urn:uuid:%08d-93a5-4b2e-8f0a-5d1c7b9e6f43", n), n)
	}
	size := (liveHeap() - before) / entries
	t.Logf("%d bytes for each entry", size)
	if size > most || len(u.others) != entries {
		t.Errorf("%d bytes for each of %d entries, want at most %d", size, len(u.others), most)
	}
	for n := range entries {
		u = add(u, &budget, fmt.Sprintf("https://x.example/fhir/Organization/%08d-93a5-4b2e-8f0a-5d1c7b9e6f42", n), n)
	}
	if len(u.others) != entries || len(u.servers) != 1 || budget.used != entries {
		t.Errorf("%d entries, %d servers, %d used; want nothing for entries with a URL of their own", len(u.others), len(u.servers), budget.used)
	}
}

// TestFullURLLimit checks that entries beyond the limit are not followed, and that the
// warning says so.
func TestFullURLLimit(t *testing.T) {
	p := newPreparer(t)
	var u *fullURLs
	budget := fullURLBudget{most: 2}
	for n := range 3 {
		v, _ := p.parse([]byte(entry(fmt.Sprint("urn:x:", n), "Endpoint", fmt.Sprint("e", n), "")))
		u = u.add(v, &budget)
	}
	if !u.full || len(u.others) != 2 {
		t.Fatalf("%d entries, full %v", len(u.others), u.full)
	}
	v, r := p.parse([]byte(`{"resourceType":"Organization","id":"a","endpoint":[{"reference":"urn:x:1"},{"reference":"urn:x:2"}]}`))
	if r != nil {
		t.Fatal(r)
	}
	out, r := p.prepare(t.Context(), v, u)
	if r != nil || len(out.links) != 1 || out.links[0].to.ID != "e1" {
		t.Fatalf("links %+v, %v", out.links, r)
	}
	kinds := map[Kind]string{}
	for _, w := range out.warnings {
		kinds[w.kind] = w.reason
	}
	if !strings.HasPrefix(kinds[NotFollowed], "endpoint: the Bundle has too many entries") {
		t.Errorf("warnings %q", kinds)
	}
}

// TestLongBundle checks that a long Bundle takes no memory for its length.
func TestLongBundle(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: loads a large Bundle")
	}
	const entries = 20_000
	long := strings.Repeat("x", 8000)
	read, write := io.Pipe()
	go func() {
		_, err := io.WriteString(write, "{\n\"resourceType\":\"Bundle\",\"type\":\"collection\",\"entry\":[\n")
		for n := 0; n < entries && err == nil; n++ {
			comma := ","
			if n+1 == entries {
				comma = "]}"
			}
			_, err = io.WriteString(write, strings.Replace(entry(fmt.Sprint("urn:x:", n), "Organization", "a", fmt.Sprint("urn:x:", (n+1)%entries)), `"id"`, `"name":"`+long+`","id"`, 1)+comma+"\n")
		}
		write.CloseWithError(err)
	}()
	m := newMemory()
	bound.Peak(t, maxHeld, func() {
		s, rejects, err := loadAll(t, m, FromReader("pipe", read))
		if err != nil || s.Read != entries || s.Warned[Dangling] > 0 {
			t.Errorf("%d read, warned %v, refused %v, %v", s.Read, s.Warned, len(rejects), err)
		}
	})
}

// TestResolvedLikeNaive compares the references of random Bundles with those that a naive
// reading of the rule gives: a reference that is the fullUrl of exactly one resource of its
// Bundle is that resource.
func TestResolvedLikeNaive(t *testing.T) {
	type one struct {
		url, id, to string
		noID        bool
	}
	extractor := newExtractor(t)
	urls := []string{"urn:uuid:1", "urn:uuid:2", "urn:oid:1.2", "https://s.example/Organization/a", "https://s.example/Organization/b", "https://s.example/Organization/a/_history/1", "x:y", ""}
	rapid.Check(t, func(rt *rapid.T) {
		var entries []string
		var list []one
		for range rapid.IntRange(1, 6).Draw(rt, "entries") {
			e := one{url: rapid.SampledFrom(urls).Draw(rt, "url"), id: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "id"), to: rapid.SampledFrom(urls[:7]).Draw(rt, "to"), noID: rapid.Bool().Draw(rt, "no id")}
			text := `{"resource":{"resourceType":"Organization","endpoint":[{"reference":"` + e.to + `"}]`
			if !e.noID {
				text += `,"id":"` + e.id + `"`
			}
			text += "}"
			if e.url != "" {
				text += `,"fullUrl":"` + e.url + `"`
			}
			list, entries = append(list, e), append(entries, text+"}")
		}
		// The name of each entry, "" if it has none.
		name := func(e one) string {
			named, restful := strings.CutPrefix(e.url, "https://s.example/Organization/")
			named = strings.TrimSuffix(named, "/_history/1")
			switch {
			case restful && e.noID:
				return named
			case restful && named != e.id, e.noID && e.url == "":
				return ""
			case e.noID:
				return idOfURL(e.url, "Organization")
			}
			return e.id
		}
		ofURL := map[string][]one{}
		server := false
		for _, e := range list {
			if e.url == "" || name(e) == "" && !strings.HasPrefix(e.url, "https://") {
				continue
			}
			if strings.HasPrefix(e.url, "https://") {
				server = server || name(e) != ""
				continue
			}
			ofURL[e.url] = append(ofURL[e.url], e)
		}
		single := func(url string) (string, bool) {
			same := ofURL[url]
			if len(same) == 0 {
				return "", false
			}
			for _, e := range same[1:] {
				if name(e) != name(same[0]) || e.noID {
					return "", false
				}
			}
			return name(same[0]), true
		}
		want := map[string]string{} // the last reference of each resource
		for _, e := range list {
			if _, ok := single(e.url); name(e) == "" || !ok && len(ofURL[e.url]) > 0 {
				continue
			}
			to := e.to
			if rest, ok := strings.CutPrefix(to, "https://s.example/"); ok && server {
				to = rest
			} else if id, ok := single(to); ok {
				to = "Organization/" + id
			}
			want["Organization/"+name(e)] = to
		}
		for _, form := range []string{bundleOf("batch", entries...), indented(bundleOf("batch", entries...))} {
			m := newMemory()
			if _, err := Run(t.Context(), Config{Directory: m, Extractor: extractor}, []Input{text("in", form)}); err != nil {
				rt.Fatal(err)
			}
			got := map[string]string{}
			for _, line := range references(t, m) {
				from, to, _ := strings.Cut(line, " ")
				got[from] = to
			}
			if !maps.Equal(want, got) {
				rt.Fatalf("%s\nreferences %v\nwant %v", form, got, want)
			}
		}
	})
}

// TestForeignFormats checks that a file of another format is refused once, as what it is, and
// that NDJSON with such a line is still read.
func TestForeignFormats(t *testing.T) {
	wide := func(s string, mark string, big bool) string {
		out := []byte(mark)
		for _, b := range []byte(s) {
			if big {
				out = append(out, 0, b)
			} else {
				out = append(out, b, 0)
			}
		}
		return string(out)
	}
	a, b := org("a"), org("b")
	table := "id,name,active\n1,\"Harbour, Heart\",true\n2,Other,false\n"
	for _, c := range []struct {
		name, content, reason string
		loaded                int
	}{
		{"array", "[\n" + a + "\n]", "this is a JSON array: write one resource on each line", 0},
		{"array on a line", "[" + a + "," + b + "]", "this is a JSON array", 0},
		{"array over lines", "[" + indented(a) + "," + indented(b) + "]", "this is a JSON array", 0},
		{"empty array", " []\n", "this is a JSON array", 0},
		{"zipped array", zipped("[" + a + "," + b + "]"), "this is a JSON array", 0},
		{"XML", `<?xml version="1.0"?>` + "\n<Location xmlns=\"http://hl7.org/fhir\">\n <id value=\"a\"/>\n</Location>\n", "this is XML or HTML", 0},
		{"XML with a mark", "\xef\xbb\xbf\n<Location xmlns=\"http://hl7.org/fhir\"/>", "this is XML or HTML", 0},
		{"HTML", "<!DOCTYPE html>\n<html><body>502</body></html>", "this is XML or HTML", 0},
		{"CSV", table, "this is a table (CSV)", 0},
		{"CSV with semicolons", strings.ReplaceAll(table, ",", ";"), "this is a table (CSV)", 0},
		{"CSV in quotes", "\"id\",\"name\"\r\n\"1\",\"x\"\r\n", "this is a table (CSV)", 0},
		{"UTF-16, little endian", wide(a, "\xff\xfe", false), "this is UTF-16", 0},
		{"UTF-16, big endian", wide(a, "\xfe\xff", true), "this is UTF-16", 0},
		{"UTF-16 without a mark", wide(a+"\n"+b, "", false), "this is UTF-16", 0},
		{"UTF-16 without a mark, big endian", wide("[", "", true), "this is UTF-16", 0},
		{"a line of another format", "<x>\n" + a + "\n" + b + "\n", "at byte 1", 2},
		{"an array as a line", "[" + a + "]\n" + b + "\n" + org("c"), "this is not a resource", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMemory()
			s, rejects, err := loadAll(t, m, text("in", c.content))
			if err != nil {
				t.Fatal(err)
			}
			if len(rejects) != 1 || !strings.HasPrefix(rejects[0], "in:1 ") || !strings.Contains(rejects[0], c.reason) {
				t.Errorf("rejects %q, want one with %q", rejects, c.reason)
			}
			if s.Created != int64(c.loaded) || (s.Refused[OtherFormat] == 1) != (c.loaded == 0) {
				t.Errorf("%+v, want %d loaded", s, c.loaded)
			}
		})
	}
	// Text that is none of these is refused line by line.
	if _, rejects, err := loadAll(t, newMemory(), text("in", "\"name\":\"x\",\n\"active\":true,\n\"id\":\"a\"}\n[section]\nkey=1")); err != nil || len(rejects) != 5 {
		t.Errorf("other text: %q, %v", rejects, err)
	}
}

// TestLongForeignFormats checks that a long file of another format takes no memory for its
// length, and that resources anywhere in it are found.
func TestLongForeignFormats(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: reads large files")
	}
	fill := strings.Repeat("x", 1<<19)
	for name, c := range map[string]struct{ open, item, between, end string }{
		"array": {"[", `{"resourceType":"Location","id":"ID","name":"` + fill + `","status":"STATUS"}`, ",", "]"},
		"XML":   {"<Bundle>", `<entry><resource><Location><id value="ID"/><name value="` + fill + `"/><status value="STATUS"/></Location></resource></entry>`, "\n", "</Bundle>"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			const items = 50
			var ids []string
			for n := range items {
				ids = append(ids, fmt.Sprint("l", n))
			}
			var lines strings.Builder
			for _, id := range ids {
				fmt.Fprintf(&lines, `{"resourceType":"Location","id":%q,"status":"active"}`+"\n", id)
			}
			if _, _, err := loadAll(t, m, text("first", lines.String())); err != nil {
				t.Fatal(err)
			}
			read, write := io.Pipe()
			go func() {
				_, err := io.WriteString(write, c.open)
				for n := 0; n < items && err == nil; n++ {
					status := []string{"active", "off"}[n%2]
					_, err = io.WriteString(write, strings.NewReplacer("ID", ids[n], "STATUS", status).Replace(c.item))
					if n+1 < items && err == nil {
						_, err = io.WriteString(write, c.between)
					}
				}
				_, _ = io.WriteString(write, c.end)
				write.CloseWithError(err)
			}()
			s, _, err := loadAll(t, m, FromReader("pipe", read))
			if err != nil || s.Kept[NowHidden] != items/2 || s.Kept[StillServed] != items/2 {
				t.Errorf("%v of %d, half of which are off; %v", s.Kept, items, err)
			}
		})
	}
}
