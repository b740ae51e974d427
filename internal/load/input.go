package load

import (
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"muster/internal/fhir"
)

// Input is one stream to load.
type Input struct {
	Name string // for messages: the path, or "standard input"
	Size int64  // in bytes, or -1 if unknown
	Open func() (io.ReadCloser, error)
}

// FromReader returns an input that reads from r. It can be loaded once.
func FromReader(name string, r io.Reader) Input {
	return Input{Name: name, Size: -1, Open: func() (io.ReadCloser, error) { return io.NopCloser(r), nil }}
}

// Inputs returns the inputs that the paths of a command line name. A file is one input. A
// folder stands for all data files below it (see isDataFile), sorted by path, except that
// files named after types are in loading order (see sortByType). "-" is stdin. A path that
// does not exist is an error.
func Inputs(paths []string, stdin io.Reader) ([]Input, error) {
	var inputs []Input
	for _, path := range paths {
		if path == "-" {
			inputs = append(inputs, FromReader("standard input", stdin))
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("load %s: %w", path, err)
		}
		if !info.IsDir() {
			inputs = append(inputs, fromFile(path, info.Size()))
			continue
		}
		before := len(inputs)
		if inputs, err = appendFolder(inputs, path); err != nil {
			return nil, fmt.Errorf("load %s: %w", path, err)
		}
		if len(inputs) == before {
			return nil, fmt.Errorf("the folder %s has no data file: write names that end in .json, .ndjson, .json.gz or .ndjson.gz", path)
		}
	}
	return inputs, nil
}

// appendFolder appends the data files below a folder.
func appendFolder(inputs []Input, folder string) ([]Input, error) {
	before := len(inputs)
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !isDataFile(entry.Name()) {
			return err
		}
		info, err := os.Stat(path) // follows symbolic links
		if err != nil {
			return err
		}
		if info.Mode().IsRegular() {
			inputs = append(inputs, fromFile(path, info.Size()))
		}
		return nil
	})
	sortByType(inputs[before:])
	return inputs, err
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

// isDataFile reports whether a file of a folder is loaded, by its name. A README is not,
// nor is the manifest.json of an export or of `muster generate`. The content of a file
// decides how it is read.
func isDataFile(name string) bool {
	name = strings.TrimSuffix(strings.ToLower(name), ".gz")
	if strings.HasPrefix(name, ".") || name == "manifest.json" {
		return false
	}
	return strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".ndjson")
}

func fromFile(path string, size int64) Input {
	return Input{Name: path, Size: size, Open: func() (io.ReadCloser, error) { return os.Open(path) }}
}
