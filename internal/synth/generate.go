package synth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// File describes one file of a data set.
type File struct {
	Path   string `json:"path"` // relative to the folder of the manifest, with slashes
	Type   string `json:"type,omitempty"`
	Count  int    `json:"count"` // lines
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// List is an embedded list from which records are drawn.
type List struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
}

// Manifest is manifest.json: the options and the files of a data set.
type Manifest struct {
	Generator        int    `json:"generator"` // [Version]
	Scale            Scale  `json:"scale"`
	Seed             uint64 `json:"seed"`
	Days             int    `json:"days"`
	Dirty            bool   `json:"dirty"`
	ValidCheckDigits bool   `json:"validCheckDigits"`
	Attribution      string `json:"attribution"`
	Lists            []List `json:"lists"`
	Files            []File `json:"files"`
}

// attribution is required by the licences of the data.
const attribution = "Places: GeoNames, CC BY 4.0. Contains SNOMED CT content, which needs a SNOMED CT licence. Persons and organisations are invented."

// writer writes the files of one data set.
type writer struct {
	plan     *Plan
	dir      string
	manifest Manifest
}

// Generate writes a data set to a folder and returns its manifest. The folder must be empty
// or must not exist. The package documentation lists the files. Generate stops when the
// context is cancelled. It writes manifest.json last.
func Generate(ctx context.Context, dir string, o Options) (*Manifest, error) {
	plan, err := New(o)
	if err != nil {
		return nil, err
	}
	if err := emptyFolder(dir); err != nil {
		return nil, err
	}
	w := &writer{plan: plan, dir: dir, manifest: Manifest{Generator: Version, Scale: o.Scale, Seed: o.Seed,
		Days: o.Days, Dirty: o.Dirty, ValidCheckDigits: o.ValidCheckDigits, Attribution: attribution}}
	if err := errors.Join(w.lists(), w.dayZero(ctx)); err != nil {
		return nil, err
	}
	census := newCensus(plan)
	if err := w.truth(ctx, census, 0); err != nil {
		return nil, err
	}
	for d := 1; d <= o.Days; d++ {
		if err := errors.Join(ctx.Err(), w.delta(d, census.advance(d)), w.truth(ctx, census, d)); err != nil {
			return nil, err
		}
	}
	return &w.manifest, w.finish()
}

// emptyFolder creates a folder, or checks that an existing one is empty.
func emptyFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("create output folder: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("create output folder: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("output folder %s is not empty: delete it or give another one", dir)
	}
	return nil
}

// lists adds the hashes of the embedded lists to the manifest.
func (w *writer) lists() error {
	return fs.WalkDir(lists, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := lists.ReadFile(name)
		sum := sha256.Sum256(text)
		w.manifest.Lists = append(w.manifest.Lists, List{Path: name, SHA256: hex.EncodeToString(sum[:])})
		return err
	})
}

// dayZero writes the files of day 0.
func (w *writer) dayZero(ctx context.Context) error {
	for k := range kindCount {
		err := w.file(Types[k]+".ndjson", Types[k], func(f *output) (err error) {
			_, err = w.plan.writeKind(ctx, k, f)
			return err
		})
		if err != nil {
			return err
		}
	}
	if !w.plan.opts.Dirty {
		return nil
	}
	return w.file("truth/dirty.jsonl", "", func(f *output) error { return w.plan.describeDirty(f) })
}

// describeDirty writes a line for each broken record.
func (p *Plan) describeDirty(f *output) error {
	lines := json.NewEncoder(f)
	lines.SetEscapeHTML(false)
	for k := range kindCount {
		for n := range p.dirtyCount(k) {
			r := p.dirty(k, n)
			id := p.id(k, r.key)
			err := lines.Encode(struct {
				File string `json:"file"`
				Line int    `json:"line"`
				Type string `json:"type"`
				ID   string `json:"id"`
				*fault
			}{Types[k] + ".ndjson", dirtyLine(n), Types[k], string(id[:]), r.fault})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// truth writes the visible records of a day.
func (w *writer) truth(ctx context.Context, c *census, dayNumber int) error {
	return w.file(fmt.Sprintf("truth/d%03d/visible.ids", dayNumber), "", func(f *output) error { return c.write(ctx, f) })
}

// delta writes the folder of one day of changes.
func (w *writer) delta(dayNumber int, changes []change) error {
	slices.SortStableFunc(changes, func(a, b change) int { return int(a.after.kind) - int(b.after.kind) })
	bodies := [kindCount]enc{}
	var lines, gone enc
	for i := range changes {
		c := &changes[i]
		w.plan.changeLine(&lines, c)
		if c.op == opRemove {
			w.plan.idLine(&gone, c.after.kind, c.after.key)
		} else {
			w.plan.render(&bodies[c.after.kind], &c.after)
		}
	}
	folder := fmt.Sprintf("delta/d%03d", dayNumber)
	put := func(name, fhirType string, text []byte) error {
		return w.file(path.Join(folder, name), fhirType, func(f *output) error {
			_, err := f.Write(text)
			return err
		})
	}
	for k := range bodies {
		if len(bodies[k].b) > 0 {
			if err := put(Types[k]+".ndjson", Types[k], bodies[k].b); err != nil {
				return err
			}
		}
	}
	return errors.Join(put("changes.jsonl", "", lines.b), put("removed.ids", "", gone.b))
}

// changeLine writes one line of changes.jsonl. Before and after are versions. A version of
// 0 means that the record does not exist.
func (p *Plan) changeLine(e *enc, c *change) {
	after := c.after.version
	if c.op == opRemove {
		after = 0
	}
	id := p.id(c.after.kind, c.after.key)
	e.b = fmt.Appendf(e.b, `{"op":%q,"type":%q,"id":%q,"before":%d,"after":%d}`+"\n", string(c.op), Types[c.after.kind], id[:], c.before, after)
}

// output is a file that counts and hashes the bytes written to it.
type output struct {
	f    *os.File
	sum  hash.Hash
	size int64
	n    int
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	o.sum.Write(b)
	o.n += bytes.Count(b, []byte{'\n'})
	o.size += int64(len(b))
	return o.f.Write(b)
}

// file writes one file of the data set and adds it to the manifest.
func (w *writer) file(name, fhirType string, fill func(*output) error) error {
	full := filepath.Join(w.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(full), 0o777); err != nil {
		return fmt.Errorf("write %s: %w", full, err)
	}
	f, err := os.Create(full)
	if err != nil {
		return fmt.Errorf("write %s: %w", full, err)
	}
	o := &output{f: f, sum: sha256.New()}
	if err := errors.Join(fill(o), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", full, err)
	}
	w.manifest.Files = append(w.manifest.Files, File{Path: name, Type: fhirType, Count: o.n, Bytes: o.size, SHA256: hex.EncodeToString(o.sum.Sum(nil))})
	return nil
}

// finish writes the manifest.
func (w *writer) finish() error {
	text, err := json.MarshalIndent(&w.manifest, "", "  ")
	if err != nil {
		return err
	}
	name := filepath.Join(w.dir, "manifest.json")
	if err := os.WriteFile(name, append(text, '\n'), 0o666); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
