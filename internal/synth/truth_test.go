package synth

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// open reports whether the own flags of a resource allow it to be visible.
func open(r *resource) bool {
	if ext(r.body, "/suppressed") != nil && !(r.typ == "Organization" && at(ext(ext(r.body, "/suppressed"), "includeSelf"), "valueBoolean") == false) {
		return false
	}
	if active, ok := r.body["active"].(bool); ok {
		return active
	}
	status := text(r.body, "status")
	return status == "" || status == "active"
}

// naiveVisible computes the visible records from the resources alone.
func naiveVisible(d *directory) map[string]bool {
	hides := func(reference string) bool { // reports whether it hides resources that belong to it
		r := d.target(reference)
		return r != nil && (ext(r.body, "/suppressed") != nil || !open(r))
	}
	unhidden := func(r *resource) bool {
		for _, link := range []string{"managingOrganization", "providedBy", "organization", "practitioner"} {
			if reference := text(r.body, link, "reference"); reference != "" && hides(reference) {
				return false
			}
		}
		return open(r)
	}
	used, usedVisibly := map[string]bool{}, map[string]bool{} // endpoints
	seen := map[string]bool{}
	for _, r := range slices.Backward(d.order) {
		name := r.typ + "/" + r.id
		ep := text(r.body, "endpoint", 0, "reference")
		if seen[name] || ep == "" || r.typ == "Organization" {
			continue // an older version, or it does not refer to an endpoint
		}
		seen[name] = true
		visible, present := unhidden(r), d.byID[r.typ][r.id] != nil
		if present || !visible { // a removed one counts while it is hidden
			used[ep] = true
			usedVisibly[ep] = usedVisibly[ep] || visible
		}
	}
	shown := map[string]bool{}
	for _, r := range d.order {
		if d.byID[r.typ][r.id] == nil {
			continue // removed
		}
		r = d.byID[r.typ][r.id]
		name := r.typ + "/" + r.id
		ok := unhidden(r) && (!used[name] || usedVisibly[name])
		if r.typ == "Provenance" {
			ok = shown[text(r.body, "target", 0, "reference")]
		}
		if ok {
			shown[name] = true
		}
	}
	return shown
}

// changeLine is a line of changes.jsonl.
type changeLine struct {
	Op, Type, ID  string
	Before, After int
}

// TestTruth replays the days from the files and compares visible.ids with a naive
// computation.
func TestTruth(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: generates a directory")
	}
	dir := filepath.Join(t.TempDir(), "out")
	const days = 10
	if _, err := Generate(t.Context(), dir, Options{Scale: 500, Seed: 11, Days: days}); err != nil {
		t.Fatal(err)
	}
	read := func(name ...string) []byte {
		b, err := os.ReadFile(filepath.Join(append([]string{dir}, name...)...))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return b
	}
	d := newDirectory(t)
	for _, typ := range Types {
		d.add(read(typ + ".ndjson"))
	}
	ops := map[string]int{}
	for day := range days + 1 {
		name := "d" + string(appendDigits(nil, day, 3))
		if day > 0 {
			before := maps.Clone(versions(d))
			for _, typ := range Types {
				d.add(read("delta", name, typ+".ndjson"))
			}
			for _, id := range strings.Fields(string(read("delta", name, "removed.ids"))) {
				r := d.target(id)
				if r == nil {
					t.Fatalf("day %d removes %s, which does not exist", day, id)
				}
				delete(d.byID[r.typ], r.id)
			}
			checkChanges(t, day, read("delta", name, "changes.jsonl"), before, versions(d), ops)
			checkReferences(d)
		}
		want := naiveVisible(d)
		got := map[string]bool{}
		for _, id := range strings.Fields(string(read("truth", name, "visible.ids"))) {
			got[id] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("day %d: visible.ids differ from the naive computation (-naive +file):\n%.2000s", day, diff)
		}
	}
	for _, daily := range dailyOps {
		if ops[string(daily.op)] == 0 {
			t.Errorf("no %s in %d days", daily.op, days)
		}
	}
}

func versions(d *directory) map[string]string {
	v := map[string]string{}
	for typ, byID := range d.byID {
		for id, r := range byID {
			v[typ+"/"+id] = text(r.body, "meta", "versionId")
		}
	}
	return v
}

// checkChanges compares changes.jsonl with the changes in the files.
func checkChanges(t *testing.T, day int, lines []byte, before, after map[string]string, ops map[string]int) {
	t.Helper()
	listed := map[string]bool{}
	for line := range bytes.Lines(lines) {
		var c changeLine
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		id := c.Type + "/" + c.ID
		if listed[id] {
			t.Errorf("day %d: %s changes twice", day, id)
		}
		listed[id] = true
		ops[c.Op]++
		number := func(v string) int {
			n := 0
			for _, digit := range v {
				n = n*10 + int(digit-'0')
			}
			return n
		}
		if got, want := [2]int{c.Before, c.After}, [2]int{number(before[id]), number(after[id])}; got != want {
			t.Errorf("day %d: %s %s: versions %v listed, %v in the files", day, c.Op, id, got, want)
		}
	}
	for id, v := range after {
		if before[id] != v && !listed[id] {
			t.Errorf("day %d: %s changed but is not listed", day, id)
		}
	}
}

// checkReferences checks that references resolve.
func checkReferences(d *directory) {
	d.t.Helper()
	bad := 0
	for _, byID := range d.byID {
		for _, r := range byID {
			walkReferences(r.body, func(reference string) {
				if d.target(reference) == nil {
					if bad++; bad < 10 {
						d.t.Errorf("%s/%s refers to %s, which does not exist", r.typ, r.id, reference)
					}
				}
			})
		}
	}
}

func walkReferences(v any, see func(string)) {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if s, ok := member.(string); ok && name == "reference" {
				see(s)
			}
			walkReferences(member, see)
		}
	case []any:
		for _, element := range v {
			walkReferences(element, see)
		}
	}
}

func TestDirty(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: generates a directory")
	}
	dir := filepath.Join(t.TempDir(), "out")
	if _, err := Generate(t.Context(), dir, Options{Scale: 500, Seed: 5, Dirty: true}); err != nil {
		t.Fatal(err)
	}
	files := map[string][][]byte{}
	for _, typ := range Types {
		b, err := os.ReadFile(filepath.Join(dir, typ+".ndjson"))
		if err != nil {
			t.Fatal(err)
		}
		files[typ+".ndjson"] = bytes.Split(b, []byte("\n"))
	}
	b, err := os.ReadFile(filepath.Join(dir, "truth", "dirty.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	clean := readAll(t, Options{Scale: 500, Seed: 5})
	all := newDirectory(t)
	for _, typ := range Types {
		all.add(bytes.Join(files[typ+".ndjson"], []byte("\n")))
	}
	visible, err := os.ReadFile(filepath.Join(dir, "truth", "d000", "visible.ids"))
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, id := range strings.Fields(string(visible)) {
		shown[id] = true
	}
	if diff := cmp.Diff(naiveVisible(all), shown); diff != "" {
		t.Errorf("visible.ids differ from the naive computation (-naive +file):\n%.2000s", diff)
	}
	seen, total := map[string]int{}, 0
	for line := range bytes.Lines(b) {
		var dirty struct {
			File, Type, ID, Kind, Expected, Rule, Reason string
			Line                                         int
		}
		if err := json.Unmarshal(line, &dirty); err != nil {
			t.Fatal(err)
		}
		seen[dirty.Kind]++
		total++
		d := newDirectory(t)
		d.add(files[dirty.File][dirty.Line-1])
		r := d.byID[dirty.Type][dirty.ID]
		if r == nil {
			t.Fatalf("%s line %d is not %s/%s", dirty.File, dirty.Line, dirty.Type, dirty.ID)
		}
		if !broken(clean, r, dirty.Kind) {
			t.Errorf("%s/%s does not have the fault %s: %s", r.typ, r.id, dirty.Kind, r.line)
		}
	}
	for name := range faults {
		if seen[string(name)] == 0 {
			t.Errorf("no broken record has the fault %s", name)
		}
	}
	if n := len(clean.order); total < n*18/1000 || total > n*22/1000 {
		t.Errorf("%d of %d records are broken, want 2 %%", total, n)
	}
}

func broken(clean *directory, r *resource, kind string) bool {
	switch faultName(kind) {
	case badLuhn:
		return !luhnOK(ident(r.body, sysHPII)[0])
	case danglingReference:
		dangling := false
		walkReferences(r.body, func(reference string) { dangling = dangling || clean.target(reference) == nil })
		return dangling
	case twoHPIO:
		return len(ident(r.body, sysHPIO)) == 2
	case suspendedLocation:
		return text(r.body, "status") == "suspended"
	case unknownCode:
		return text(r.body, "serviceProvisionCode", 0, "coding", 0, "code") == "ZZZ"
	case longAhpra:
		return len(ident(at(r.body, "qualification", 0), sysAhpra)[0]) == 15
	case duplicateHPII:
		for _, other := range clean.byID["Practitioner"] {
			if ident(other.body, sysHPII)[0] == ident(r.body, sysHPII)[0] {
				return true
			}
		}
	}
	return false
}
