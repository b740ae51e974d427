package compare

import (
	"fmt"
	"strings"

	"muster/internal/fhir"
	"muster/internal/rulestest"
)

// line is a line of an export, or a resource of an answer.
type line struct {
	name        rulestest.Name
	text        string
	document    string // without versionId and lastUpdated, as the source of the model
	content     string // the text without versionId and lastUpdated
	version     string
	lastUpdated fhir.Instant
}

// readLine reads a stored line. Its meta begins with versionId and lastUpdated.
func readLine(text string) (*line, error) {
	document, err := rulestest.Parse([]byte(text))
	if err != nil {
		return nil, err
	}
	l := &line{name: rulestest.NameOf(document), text: text}
	meta, _ := document["meta"].(rulestest.Object)
	l.version, _ = meta["versionId"].(string)
	updated, _ := meta["lastUpdated"].(string)
	if l.lastUpdated, err = fhir.ParseInstant(updated); err != nil {
		return nil, fmt.Errorf("%s: %w", l.name, err)
	}
	before, after, ok := strings.Cut(text, fmt.Sprintf(`"versionId":%q,"lastUpdated":%q`, l.version, updated))
	if !ok {
		return nil, differ(l.name, "the meta of %s does not begin with versionId and lastUpdated: %s", l.name, text)
	}
	l.content = before + strings.TrimPrefix(after, ",")
	delete(meta, "versionId")
	delete(meta, "lastUpdated")
	if len(meta) == 0 {
		delete(document, "meta")
	}
	l.document = string(rulestest.Source(document))
	return l, nil
}

// served is a resource of the model as text.
type served struct{ document, own string }

func serve(r rulestest.Resource) served {
	return served{string(rulestest.Source(r.Document)), string(rulestest.Source(r.Own))}
}

// read returns the line with a text. Most texts are read many times.
func (c *Comparison) read(text []byte) (*line, error) {
	if l, ok := c.known[string(text)]; ok {
		return l, nil
	}
	l, err := readLine(string(text))
	if err == nil {
		c.known[l.text] = l
	}
	return l, err
}

// checkLine compares a line with the model, and with earlier lines of the resource.
func (c *Comparison) checkLine(l *line) error {
	want, ok := c.served[l.name]
	if !ok {
		r, exists := c.view[l.name]
		if !exists {
			return differ(l.name, "%s is served, but does not exist", l.name)
		}
		want = serve(r)
		c.served[l.name] = want
	}
	return c.checkServed(l, want)
}

// checkServed compares a line with a resource of the model, and with earlier lines of it.
func (c *Comparison) checkServed(l *line, want served) error {
	if l.document != want.document {
		return differ(l.name, "%s is\n%sbut should be\n%s", l.name, l.document, want.document)
	}
	if err := c.sameBytes(l, l.text, "version "+l.version); err != nil {
		return err
	}
	if !c.played[c.of[l.name]].History.Rewrote(l.name) {
		if err := c.sameBytes(l, l.content, "the document\n"+want.document+"of the source\n"+want.own); err != nil {
			return err
		}
	}
	if before, ok := c.lines[l.name]; ok && before.version != l.version && before.lastUpdated >= l.lastUpdated {
		return differ(l.name, "%s has version %s of %s after version %s of %s", l.name, l.version, l.lastUpdated, before.version, before.lastUpdated)
	}
	c.lines[l.name] = l
	return nil
}

// sameBytes checks that a version, and a document that returns, are always served with the same
// text.
func (c *Comparison) sameBytes(l *line, text, what string) error {
	key := l.name.String() + " " + what
	if before, ok := c.bytes[key]; ok && before != text {
		return differ(l.name, "%s is served as\n%s\nand was served as\n%s\nas %s", l.name, text, before, what)
	}
	c.bytes[key] = text
	return nil
}
