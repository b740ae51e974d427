package load

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"muster/internal/fhir"
	"muster/internal/regularfile"
)

// Input is one stream to load.
type Input struct {
	Name string // for messages: the path, or "standard input"
	Size int64  // in bytes, or -1 if unknown
	Open func() (io.ReadCloser, error)

	// Again reports that Open can be called several times, for the same bytes. Otherwise an
	// input that is a Bundle is copied to a temporary file.
	Again bool

	folder string // of a file; empty for other inputs
}

// Skipped is a file or a folder below a folder that is loaded. It is not read.
type Skipped struct{ Path, Reason string }

// FromReader returns an input that reads from r. It can be loaded once.
func FromReader(name string, r io.Reader) Input {
	return Input{Name: name, Size: -1, Open: func() (io.ReadCloser, error) { return io.NopCloser(r), nil }}
}

// Inputs returns the inputs that the paths of a command line name. A file is one input. A
// folder stands for all data files below it (see skipReason), sorted by path, except that
// files named after types are in loading order (see sortByType). All others are in skipped.
// "-" is stdin. A path that does not exist is an error.
func Inputs(paths []string, stdin io.Reader) (inputs []Input, skipped []Skipped, err error) {
	return inputsOf(paths, stdin, false)
}

// ChangeInputs returns the inputs of a load that applies changes. Unlike [Inputs], it returns
// also lists of removals below a folder, and for a folder with a list of changes only that
// list, since that stands for the files beside it.
func ChangeInputs(paths []string, stdin io.Reader) (inputs []Input, skipped []Skipped, err error) {
	return inputsOf(paths, stdin, true)
}

func inputsOf(paths []string, stdin io.Reader, changes bool) (inputs []Input, skipped []Skipped, err error) {
	for _, path := range paths {
		if path == "-" {
			inputs = append(inputs, FromReader("standard input", stdin))
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, nil, fmt.Errorf("load %s: %w", path, err)
		}
		if !info.IsDir() {
			inputs = append(inputs, fromFile(path, info))
			continue
		}
		f := folder{root: path + string(filepath.Separator), changes: changes} // also follows a symbolic link
		if err := filepath.WalkDir(f.root, f.visit); err != nil {
			return nil, nil, fmt.Errorf("load %s: %w", path, err)
		}
		if len(f.inputs) == 0 {
			return nil, nil, f.errEmpty(path)
		}
		sortByType(f.inputs)
		inputs, skipped = append(inputs, f.inputs...), append(skipped, f.skipped...)
	}
	return inputs, skipped, nil
}

// folder collects the data files below a folder.
type folder struct {
	root    string
	changes bool // see ChangeInputs
	inputs  []Input
	skipped []Skipped
}

// visit is an [fs.WalkDirFunc].
func (f *folder) visit(path string, entry fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	if f.changes && entry.IsDir() {
		if list := changeListIn(path); list != "" {
			if err := f.add(list, entry); err != nil {
				return err
			}
			return fs.SkipDir
		}
	}
	if path == f.root {
		return nil
	}
	if reason := f.skipReason(path, entry); reason != "" {
		f.skipped = append(f.skipped, Skipped{path, reason})
		if entry.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	if entry.IsDir() {
		return nil
	}
	return f.add(path, entry)
}

// add adds the file of a path, which entry is or is the folder of.
func (f *folder) add(path string, entry fs.DirEntry) error {
	info, err := os.Stat(path) // follows symbolic links
	switch {
	case err != nil && entry.Type()&fs.ModeSymlink != 0:
		f.skipped = append(f.skipped, Skipped{path, "a symbolic link that leads nowhere"})
	case err != nil:
		return err
	case info.IsDir():
		f.skipped = append(f.skipped, Skipped{path, "a symbolic link to a folder: name the folder to load it"})
	case !info.Mode().IsRegular():
		f.skipped = append(f.skipped, Skipped{path, "not a file: name it to load it"})
	default:
		f.inputs = append(f.inputs, fromFile(path, info))
	}
	return nil
}

// errEmpty is the error for a folder without data files.
func (f *folder) errEmpty(path string) error {
	err := fmt.Errorf("the folder %s has no data file: write names that end in .json, .jsonl or .ndjson, with or without .gz", path)
	if n := len(f.skipped); n > 0 {
		err = fmt.Errorf("%w (%d not read, such as %s: %s)", err, n, f.skipped[0].Path, f.skipped[0].Reason)
	}
	return err
}

// skipReason returns why a file or a folder below a folder is not read, or "", by its name
// and the names beside it. The content of a file decides how it is read. A generated
// directory has files that are not its first state: later changes, which may remove what
// the first state has, and lists for tests.
func (f *folder) skipReason(path string, entry fs.DirEntry) string {
	name := strings.ToLower(entry.Name())
	plain := strings.TrimSuffix(name, ".gz")
	beside := func(sibling string) string { return filepath.Join(filepath.Dir(path), sibling) }
	switch {
	case strings.HasPrefix(name, "."):
		return "hidden"
	case entry.IsDir():
		if name == "delta" && isGenerated(beside(manifestName)) {
			return "later changes of the generated directory: name it with --changes to apply them"
		}
		if name == "truth" && isGenerated(beside(manifestName)) {
			return "lists for tests of the generated directory"
		}
		return ""
	case plain == manifestName:
		return "the manifest of an export or of a generated directory"
	case plain == changeListName && exists(beside(removalListName)):
		return "a list of changes of a generated directory: use --changes to apply it"
	case plain == removalListName:
		if f.changes {
			return ""
		}
		return "a list of removed resources: use --changes to remove them"
	case strings.HasSuffix(plain, ".json"), strings.HasSuffix(plain, ".jsonl"), strings.HasSuffix(plain, ".ndjson"):
		return ""
	case strings.HasSuffix(plain, ".xml"):
		return "XML: convert it to FHIR in JSON"
	case strings.HasSuffix(plain, ".csv"):
		return "CSV: convert it to FHIR in JSON"
	}
	return "the name does not end in .json, .jsonl or .ndjson"
}

const manifestName = "manifest.json"

// isGenerated reports whether a file is the manifest of a generated directory.
func isGenerated(manifest string) bool {
	text, err := regularfile.ReadFile(manifest)
	var m struct{ Generator int }
	return err == nil && json.Unmarshal(text, &m) == nil && m.Generator > 0
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// sortByType sorts the files of each folder that are named after a type, such as
// Location.ndjson or Location-2.ndjson.gz, in loading order. In alphabetical order, nearly
// every reference of a national directory would be pending, more than maxPending. Other
// files keep their positions.
func sortByType(inputs []Input) {
	positions := map[string][]int{} // of the files named after types, by folder
	for i, in := range inputs {
		if fileType(in.Name) > 0 {
			folder := filepath.Dir(in.Name)
			positions[folder] = append(positions[folder], i)
		}
	}
	for _, indices := range positions {
		var files []Input
		for _, i := range indices {
			files = append(files, inputs[i])
		}
		slices.SortStableFunc(files, func(a, b Input) int {
			return cmp.Compare(fileType(a.Name), fileType(b.Name))
		})
		for n, i := range indices {
			inputs[i] = files[n]
		}
	}
}

// fileType returns the type whose name a file name starts with, as a whole word, or 0.
func fileType(path string) fhir.Type {
	name := filepath.Base(path)
	end := strings.IndexFunc(name, func(r rune) bool { return !unicode.IsLetter(r) })
	t, _ := fhir.ParseType(name[:max(end, 0)])
	return t
}

func fromFile(path string, info fs.FileInfo) Input {
	in := Input{Name: path, Size: -1, folder: filepath.Dir(path), Open: func() (io.ReadCloser, error) { return os.Open(path) }}
	if info.Mode().IsRegular() { // a pipe can be read once
		in.Size, in.Again = info.Size(), true
	}
	return in
}
