package load

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"muster/internal/fhir"

	"github.com/valyala/fastjson"
)

// This file reads the folders of changes that muster generate --days writes. The list of
// changes says what changed, in order, and the files beside it have the resources: a line of
// the list that is not a removal stands for the next line of the file of its type. So a folder
// is applied in the order of its list, and one that is incomplete is noticed.

// The names of the files of a folder of changes.
const (
	changeListName  = "changes.jsonl"
	removalListName = "removed.ids"
)

// changeLine is a line of a list of changes. Before and After are versions of its source.
type changeLine struct {
	Op, Type, ID  string
	Before, After int64
}

// changeOps are the kinds of changes.
var changeOps = []string{"create", "update", "suppress", "unsuppress", "deactivate", "reactivate", "move", "remove"}

// changeListIn returns the list of changes in a folder, or "" if it has none.
func changeListIn(folder string) string {
	for _, name := range []string{changeListName, changeListName + ".gz"} {
		if path := filepath.Join(folder, name); exists(path) {
			return path
		}
	}
	return ""
}

// changeList is a list of changes that is being read.
type changeList struct {
	*inputReader
	name   string
	folder string
	lines  *fhir.LineReader
	beside map[string]*besideList // by name; nil for a file that does not exist
	parser fastjson.Parser
}

// besideList is a file beside a list of changes.
type besideList struct {
	path  string
	lines *fhir.LineReader
	file  io.Closer
}

// readChangeList reads a list of changes and the files beside it.
func (s *inputReader) readChangeList(in Input, r io.Reader) error {
	c := &changeList{inputReader: s, name: in.Name, folder: in.folder, lines: fhir.NewLineReader(r), beside: map[string]*besideList{}}
	if in.folder == "" {
		return c.broken("the resources of a list of changes are in the files beside it: name the file or its folder")
	}
	defer c.close()
	for {
		text, err := c.lines.Next()
		switch {
		case errors.Is(err, io.EOF):
			return c.finish()
		case err != nil:
			return c.broken("%w", err)
		}
		if err := c.change(text); err != nil {
			return err
		}
	}
}

// broken returns the error of a list that cannot be applied beyond its current line.
func (c *changeList) broken(format string, args ...any) error {
	return &brokenInput{c.name, c.lines.Line(), nil, fmt.Errorf(format, args...)}
}

// change emits the change of one line.
func (c *changeList) change(text []byte) error {
	var line changeLine
	if err := json.Unmarshal(text, &line); err != nil || !slices.Contains(changeOps, line.Op) {
		return c.broken("the line is not a change of a generated directory: write op, type, id, before and after")
	}
	named := line.Type + "/" + line.ID
	if line.Op == "remove" {
		return c.remove(named)
	}
	list, err := c.open(line.Type + ".ndjson")
	if err != nil {
		return err
	}
	if list == nil {
		return c.broken("it changes %s, but %s does not exist: the folder is incomplete", named, filepath.Join(c.folder, line.Type+".ndjson"))
	}
	resource, err := list.lines.Next()
	switch {
	case errors.Is(err, io.EOF):
		return c.broken("it changes %s, but %s ends before it: the folder is incomplete", named, list.path)
	case err != nil:
		return c.broken("read %s: %w", list.path, err)
	}
	if v, err := c.parser.ParseBytes(resource); err == nil && string(v.GetStringBytes("resourceType"))+"/"+string(v.GetStringBytes("id")) != named {
		return c.broken("it changes %s, but line %d of %s is another resource: the files are not of one folder", named, list.lines.Line(), list.path)
	}
	return c.emit(piece{file: list.path, line: list.lines.Line(), text: resource})
}

// remove emits the removal of a resource, which must be the next one of the list of removals,
// if there is one.
func (c *changeList) remove(named string) error {
	list, err := c.open(removalListName)
	if err != nil {
		return err
	}
	if list != nil {
		text, err := list.lines.Next()
		if err != nil && !errors.Is(err, io.EOF) {
			return c.broken("read %s: %w", list.path, err)
		}
		if string(text) != named {
			return c.broken("it removes %s, but that is not the next line of %s: the files are not of one folder", named, list.path)
		}
	}
	return c.emit(piece{file: c.name, line: c.lines.Line(), text: []byte(named), removal: true})
}

// open returns a file beside the list, with or without .gz, or nil if it does not exist.
func (c *changeList) open(name string) (*besideList, error) {
	if list, known := c.beside[name]; known {
		return list, nil
	}
	c.beside[name] = nil
	for _, suffix := range []string{"", ".gz"} {
		path := filepath.Join(c.folder, name+suffix)
		file, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, c.broken("%w", err)
		}
		list := &besideList{path: path, file: file}
		c.beside[name] = list
		plain, _, err := decompressed(bufio.NewReaderSize(file, 1<<16))
		if err != nil {
			return nil, c.broken("read %s: %w", path, err)
		}
		list.lines = fhir.NewLineReader(plain)
		return list, nil
	}
	return nil, nil
}

// finish checks that the list names everything that the files beside it hold.
func (c *changeList) finish() error {
	names := []string{removalListName}
	for _, t := range fhir.Types() {
		names = append(names, t.String()+".ndjson")
	}
	for _, name := range names {
		list, err := c.open(name)
		if err != nil {
			return err
		}
		if list == nil {
			continue
		}
		if _, err := list.lines.Next(); !errors.Is(err, io.EOF) {
			return c.broken("it ends, but %s has more lines: the folder is incomplete", list.path)
		}
	}
	return nil
}

func (c *changeList) close() {
	for _, list := range c.beside {
		if list != nil {
			list.file.Close()
		}
	}
}
