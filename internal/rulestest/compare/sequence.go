package compare

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"muster/internal/fhir"
	"muster/internal/rulestest"
)

// Difference is a difference between a directory and the model, as text.
type Difference string

func (d Difference) Error() string { return string(d) }

func differ(format string, args ...any) error { return Difference(fmt.Sprintf(format, args...)) }

// Sequence is a sequence of steps in a directory. It is not safe for concurrent use.
type Sequence struct {
	History *rulestest.History // of the model

	target Target
	prefix string                  // of the ids
	chains bool                    // compares filters that follow references to generated names
	times  []fhir.Instant          // of exports: before the first step, and after each
	lines  map[rulestest.Name]line // the last line of each resource
	bytes  map[string]string       // served bytes by version, and by document
	copy   rulestest.Copy          // kept by deltas alone
}

// Begin begins a sequence. All ids of its steps have the prefix, and no other sequence has written
// resources with it.
func Begin(ctx context.Context, target Target, prefix string) (*Sequence, error) {
	s := &Sequence{History: &rulestest.History{}, target: target, prefix: prefix, lines: map[rulestest.Name]line{}, bytes: map[string]string{}}
	r, err := target.Export(ctx, Request{Filters: []string{"Organization?_id=" + prefix + "none"}})
	s.times = append(s.times, r.Time)
	return s, err
}

// Step performs a step that the history has as its last one, and compares the directory with the
// model. It also compares the delta since the end of an earlier step (0: since the beginning). The
// error is a [Difference] unless the directory fails.
func (s *Sequence) Step(ctx context.Context, step rulestest.Step, since int) error {
	var source bytes.Buffer
	var removals []rulestest.Name
	for _, c := range step.Changes {
		if c.Document != nil {
			source.Write(rulestest.Source(c.Document))
		} else {
			removals = append(removals, c.Name)
		}
	}
	interrupted := func() error { return s.compareInterrupted(ctx) }
	if source.Len() > 0 {
		if err := s.target.Load(ctx, source.Bytes(), interrupted); err != nil {
			return err
		}
	}
	if len(removals) > 0 {
		if err := s.target.Remove(ctx, removals, interrupted); err != nil {
			return err
		}
	}
	at, err := s.compareExports(ctx, since)
	if err != nil {
		return err
	}
	s.times = append(s.times, at)
	return s.compareAnswers(ctx)
}

// line is a line of an export, or a resource of an answer.
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
	before, after, ok := strings.Cut(l.text, fmt.Sprintf(`"versionId":%q,"lastUpdated":%q`, l.version, updated))
	if !ok {
		return line{}, differ("the meta of %s does not begin with versionId and lastUpdated: %s", l.name, text)
	}
	l.content = before + strings.TrimPrefix(after, ",")
	delete(meta, "versionId")
	delete(meta, "lastUpdated")
	if len(meta) == 0 {
		delete(document, "meta")
	}
	return l, nil
}

// checkLine compares a line with a view of the model, and with earlier lines of the resource.
func (s *Sequence) checkLine(l line, view rulestest.View) error {
	want, ok := view[l.name]
	if !ok {
		return differ("%s is served, but does not exist", l.name)
	}
	wanted := rulestest.Source(want.Document)
	if got := rulestest.Source(l.document); !bytes.Equal(got, wanted) {
		return differ("%s is\n%sbut should be\n%s", l.name, got, wanted)
	}
	if err := s.sameBytes(l, l.text, "version "+l.version); err != nil {
		return err
	}
	if err := s.sameBytes(l, l.content, fmt.Sprintf("the document\n%sof the source\n%s", wanted, rulestest.Source(want.Own))); err != nil {
		return err
	}
	if before, ok := s.lines[l.name]; ok && before.version != l.version && before.lastUpdated >= l.lastUpdated {
		return differ("%s has version %s of %s after version %s of %s", l.name, l.version, l.lastUpdated, before.version, before.lastUpdated)
	}
	s.lines[l.name] = l
	return nil
}

// sameBytes checks that a version, and a document that returns, are always served with the same
// text.
func (s *Sequence) sameBytes(l line, text, what string) error {
	key := l.name.String() + " " + what
	if before, ok := s.bytes[key]; ok && before != text {
		return differ("%s is served as\n%s\nand was served as\n%s\nas %s", l.name, text, before, what)
	}
	s.bytes[key] = text
	return nil
}

// sameNames compares names with those of the model.
func sameNames(what string, got, want []rulestest.Name) error {
	if slices.Equal(got, want) {
		return nil
	}
	return differ("%s:\n  the directory has %v\n  the model has     %v", what, got, want)
}
