package export

import (
	"bytes"

	"muster/internal/part"
	"muster/internal/store"

	"github.com/google/uuid"
)

// maxContent is the size of a part that is generated with the selection, in bytes of NDJSON. Its
// compressed lines are in memory during the selection, and in the database until its file is
// written.
const maxContent = 16 << 20

// generator generates the parts of one kind from lines that are not resources of the directory.
// The same lines give the same parts.
type generator struct {
	kind  store.PartKind
	limit int64 // bytes of a part, unless a single line is larger
	parts []store.Part

	open   *part.Writer // of the next part; nil if it has no line yet
	stream bytes.Buffer // of open
	size   int64        // bytes in open
}

// newGenerator returns a generator for an export whose parts have a size.
func newGenerator(kind store.PartKind, partBytes int64) *generator {
	return &generator{kind: kind, limit: min(partBytes, maxContent)}
}

// add adds a line. It does not keep the bytes.
func (g *generator) add(line []byte) error {
	size := int64(len(line)) + 1
	if g.open != nil && g.size+size > g.limit {
		if err := g.cut(); err != nil {
			return err
		}
	}
	if g.open == nil {
		g.stream.Reset()
		g.open, g.size = part.NewWriter(&g.stream), 0
	}
	g.size += size
	return g.open.WriteLine(line)
}

// end ends the last part and returns all parts.
func (g *generator) end() ([]store.Part, error) {
	err := g.cut()
	return g.parts, err
}

// cut ends the part that is open.
func (g *generator) cut() error {
	if g.open == nil {
		return nil
	}
	sum, err := g.open.Close()
	if err != nil {
		return err
	}
	file, err := uuid.NewRandom()
	if err != nil {
		return err
	}
	g.open = nil
	g.parts = append(g.parts, store.Part{Kind: g.kind, File: file.String(), Count: sum.Count, Bytes: sum.Bytes, Content: bytes.Clone(g.stream.Bytes())})
	return nil
}
