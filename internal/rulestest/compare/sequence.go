package compare

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"muster/internal/fhir"
	"muster/internal/load"
	"muster/internal/rulestest"
	"muster/internal/store"
)

// Difference is a difference between the store and the model, as text.
type Difference string

func (d Difference) Error() string { return string(d) }

func differ(format string, args ...any) error { return Difference(fmt.Sprintf(format, args...)) }

// Sequence is a sequence of steps in a directory. It is not safe for concurrent use.
type Sequence struct {
	History *rulestest.History // of the model
	Prefix  string             // of the ids

	d     *Directory
	times []fhir.Instant          // of the snapshots: before the first step, and after each
	lines map[rulestest.Name]line // the last line of each resource
	bytes map[string]string       // served bytes by version, and by own document
}

// Begin begins a sequence.
func (d *Directory) Begin(ctx context.Context) (*Sequence, error) {
	d.sequences++
	s := &Sequence{History: &rulestest.History{}, Prefix: fmt.Sprintf("x%d-", d.sequences), d: d, lines: map[rulestest.Name]line{}, bytes: map[string]string{}}
	snapshot, err := d.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	s.times = append(s.times, snapshot.Time())
	return s, snapshot.Close()
}

// Step performs a step that the history has as its last one, and compares the store with the
// model. It also compares the delta since the end of an earlier step (0: since the beginning). The
// error is a [Difference] unless the store fails.
func (s *Sequence) Step(ctx context.Context, step rulestest.Step, since int) error {
	if err := s.perform(ctx, step); err != nil {
		return err
	}
	snapshot, err := s.d.snapshot(ctx)
	if err != nil {
		return err
	}
	err = s.compareExports(ctx, snapshot, since)
	if closing := snapshot.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	s.times = append(s.times, snapshot.Time())
	return s.compareAnswers(ctx)
}

// perform loads the documents of a step in one batch, and makes its removals.
func (s *Sequence) perform(ctx context.Context, step rulestest.Step) error {
	var source bytes.Buffer
	var removals []store.Change
	for _, c := range step.Changes {
		if c.Document != nil {
			source.Write(rulestest.Source(c.Document))
			continue
		}
		removals = append(removals, store.Change{Type: typeOf(c.Name), ID: c.Name.ID, Remove: true})
	}
	var refused refusals
	summary, err := load.Run(ctx, load.Config{Directory: s.d.Store, Extractor: s.d.extractor, Rejects: &refused}, []load.Input{load.FromReader("step", &source)})
	if err != nil {
		return err
	}
	if summary.RefusedTotal() > 0 {
		return fmt.Errorf("the loader refuses a generated resource: %s", refused)
	}
	_, err = s.d.Store.Apply(ctx, removals)
	return err
}

type refusals []string

func (r *refusals) Reject(what load.Rejected) error {
	*r = append(*r, fmt.Sprintf("%s/%s: %s", what.Type, what.ID, what.Reason))
	return nil
}

// line is a line of an export.
type line struct {
	name        rulestest.Name
	text        string
	document    rulestest.Object // without versionId and lastUpdated
	content     string           // the text without versionId and lastUpdated
	version     string
	lastUpdated fhir.Instant
}

// readLine reads a stored line. Its meta begins with versionId and lastUpdated.
func readLine(text []byte) (line, error) {
	document, err := rulestest.Parse(text)
	if err != nil {
		return line{}, err
	}
	l := line{name: rulestest.NameOf(document), text: string(text), document: document}
	meta, _ := document["meta"].(rulestest.Object)
	l.version, _ = meta["versionId"].(string)
	updated, _ := meta["lastUpdated"].(string)
	if l.lastUpdated, err = fhir.ParseInstant(updated); err != nil {
		return line{}, fmt.Errorf("%s: %w", l.name, err)
	}
	stamp := fmt.Sprintf(`"versionId":%q,"lastUpdated":%q`, l.version, updated)
	before, after, ok := strings.Cut(l.text, stamp)
	if !ok {
		return line{}, differ("%s does not begin its meta with versionId and lastUpdated: %s", l.name, text)
	}
	l.content = before + strings.TrimPrefix(after, ",")
	delete(meta, "versionId")
	delete(meta, "lastUpdated")
	if len(meta) == 0 {
		delete(document, "meta")
	}
	return l, nil
}

// checkLine compares a line with the model and with earlier lines of the resource.
func (s *Sequence) checkLine(l line) error {
	want, ok := s.History.View[l.name]
	if !ok {
		return differ("%s is served, but does not exist", l.name)
	}
	if got, wanted := rulestest.Source(l.document), rulestest.Source(want.Document); !bytes.Equal(got, wanted) {
		return differ("%s is\n%sbut should be\n%s", l.name, got, wanted)
	}
	if err := s.sameBytes(l, "the version "+l.version, l.text, "version", l.version); err != nil {
		return err
	}
	if err := s.sameBytes(l, "the same document", l.content, "document", string(rulestest.Source(want.Document))); err != nil {
		return err
	}
	if before, ok := s.lines[l.name]; ok && before.version != l.version && before.lastUpdated >= l.lastUpdated {
		return differ("%s has version %s of %s after version %s of %s", l.name, l.version, l.lastUpdated, before.version, before.lastUpdated)
	}
	s.lines[l.name] = l
	return nil
}

// sameBytes checks that a resource is always served with the same text under a key.
func (s *Sequence) sameBytes(l line, what, text string, key ...string) error {
	known := l.name.String() + "\n" + strings.Join(key, "\n")
	if before, ok := s.bytes[known]; ok && before != text {
		return differ("%s of %s is served as\n%s\nand was served as\n%s", what, l.name, text, before)
	}
	s.bytes[known] = text
	return nil
}

// sameNames compares names with those of the model.
func sameNames(what string, got, want []rulestest.Name) error {
	if slices.Equal(got, want) {
		return nil
	}
	return differ("%s:\n  the directory has %v\n  the model has     %v", what, got, want)
}
