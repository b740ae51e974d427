package synth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"muster/internal/testkit/golden"
)

const goldenFile = "testdata/golden-scale1-seed42.txt"

// goldenOptions enables every feature of the generator.
var goldenOptions = Options{Scale: 1000, Seed: 42, Days: 8, Dirty: true}

// goldenText returns the hash of each file of a data set.
func goldenText(t *testing.T, o Options) string {
	t.Helper()
	m, err := Generate(t.Context(), filepath.Join(t.TempDir(), "out"), o)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "generator %d\n", Version)
	for _, f := range m.Files {
		fmt.Fprintf(&b, "%s %d %s\n", f.SHA256, f.Count, f.Path)
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	o := goldenOptions
	o.Workers = 2
	got := goldenText(t, o)
	stored, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	if golden.Update() && strings.HasPrefix(string(stored), fmt.Sprintf("generator %d\n", Version)) && string(stored) != got {
		t.Fatalf("%s: bytes changed but Version is still %d: raise it", goldenFile, Version)
	}
	golden.Check(t, goldenFile, got)
	for _, workers := range []int{1, 7, 7} {
		o.Workers = workers
		if diff := cmp.Diff(got, goldenText(t, o)); diff != "" {
			t.Errorf("%d workers write different bytes (-2 workers +%d):\n%s", workers, workers, diff)
		}
	}
}

func TestCleanIsDirtyWithoutTheBroken(t *testing.T) {
	clean, dirty := readAll(t, Options{Scale: 300, Seed: 7}), readAll(t, Options{Scale: 300, Seed: 7, Dirty: true})
	for _, typ := range Types {
		for id, r := range clean.byID[typ] {
			if d := dirty.byID[typ][id]; d == nil || !bytes.Equal(d.line, r.line) {
				t.Fatalf("%s/%s differs in a data set with broken records", typ, id)
			}
		}
	}
}

func TestSeedsDiffer(t *testing.T) {
	sum := func(seed uint64) [32]byte {
		p, err := New(Options{Scale: 100, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := p.Write(t.Context(), "Practitioner", &b); err != nil {
			t.Fatal(err)
		}
		return sha256.Sum256(b.Bytes())
	}
	if sum(1) == sum(2) {
		t.Error("seeds 1 and 2 yield the same practitioners")
	}
}

func TestOptionErrors(t *testing.T) {
	for _, o := range []Options{{}, {Scale: MinScale - 1}, {Scale: MaxScale + 1}, {Scale: 1000, Days: -1}, {Scale: 1000, Days: 367}} {
		if _, err := New(o); err == nil {
			t.Errorf("New(%+v) succeeded", o)
		}
	}
}

func TestGenerateRefusesFullFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Generate(t.Context(), dir, Options{Scale: MinScale}); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("got %v, want an error about the folder", err)
	}
}

func TestGenerateStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if _, err := Generate(ctx, dir, Options{Scale: MinScale}); err == nil {
		t.Error("no error for a cancelled context")
	}
	if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err == nil {
		t.Error("manifest.json exists although generation was cancelled")
	}
}

func TestWriteUnknownType(t *testing.T) {
	p, err := New(Options{Scale: MinScale})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write(t.Context(), "Patient", new(bytes.Buffer)); err == nil {
		t.Error("writing Patient succeeded")
	}
}

// resource is a parsed line.
type resource struct {
	typ, id string
	line    []byte
	body    map[string]any
}

// directory is a data set that was read from its files.
type directory struct {
	t     *testing.T
	order []*resource
	byID  map[string]map[string]*resource
}

func newDirectory(t *testing.T) *directory {
	d := &directory{t: t, byID: map[string]map[string]*resource{}}
	for _, typ := range Types {
		d.byID[typ] = map[string]*resource{}
	}
	return d
}

// readAll generates day 0 of a data set and reads it.
func readAll(t *testing.T, o Options) *directory {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	d := newDirectory(t)
	for _, typ := range Types {
		var b bytes.Buffer
		n, err := p.Write(t.Context(), typ, &b)
		if err != nil {
			t.Fatal(err)
		}
		if lines := d.add(b.Bytes()); lines != n {
			t.Fatalf("%s: Write returned %d, wrote %d records", typ, n, lines)
		}
	}
	return d
}

// add reads NDJSON. It replaces existing records.
func (d *directory) add(ndjson []byte) int {
	n := 0
	for line := range bytes.Lines(ndjson) {
		r := &resource{line: line}
		if err := json.Unmarshal(line, &r.body); err != nil {
			d.t.Fatalf("not JSON: %v: %s", err, line)
		}
		r.typ, r.id = r.body["resourceType"].(string), r.body["id"].(string)
		if d.byID[r.typ][r.id] == nil {
			d.order = append(d.order, r)
		}
		d.byID[r.typ][r.id] = r
		n++
	}
	return n
}

// at returns the value at a path of members and items, or nil.
func at(v any, path ...any) any {
	for _, step := range path {
		switch s := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[s]
		case int:
			l, _ := v.([]any)
			if s >= len(l) {
				return nil
			}
			v = l[s]
		}
	}
	return v
}

func text(v any, path ...any) string { s, _ := at(v, path...).(string); return s }

func list(v any, path ...any) []any { l, _ := at(v, path...).([]any); return l }

// ext returns the extension whose url has the given suffix, or nil.
func ext(v any, suffix string) any {
	for _, e := range list(v, "extension") {
		if strings.HasSuffix(text(e, "url"), suffix) {
			return e
		}
	}
	return nil
}

// ident returns the values of the identifiers with the given system.
func ident(v any, system string) (values []string) {
	for _, i := range list(v, "identifier") {
		if text(i, "system") == system {
			values = append(values, text(i, "value"))
		}
	}
	return values
}

// target resolves a reference.
func (d *directory) target(reference string) *resource {
	typ, id, _ := strings.Cut(reference, "/")
	return d.byID[typ][id]
}
