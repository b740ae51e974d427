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
	Name string // for people: the path, or "standard input"
	Size int64  // bytes, or -1 when not known
	Open func() (io.ReadCloser, error)
}

// FromReader makes an input of a reader; it can be loaded once.
func FromReader(name string, r io.Reader) Input {
	return Input{Name: name, Size: -1, Open: func() (io.ReadCloser, error) { return io.NopCloser(r), nil }}
}

// Inputs finds what the paths of a command line name: a file as it is, a folder
// with all files below it that have the name of one (see isDataFile), sorted by
// path but for files of types (see sortByType), and "-" for stdin. A path that is not there is an error.
func Inputs(paths []string, stdin io.Reader) ([]Input, error) {
	var inputs []Input
	for _, path := range paths {
		if path == "-" {
			inputs = append(inputs, FromReader("standard input", stdin))
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("%s cannot be loaded: %w", path, err)
		}
		if !info.IsDir() {
			inputs = append(inputs, fromFile(path, info.Size()))
			continue
		}
		before := len(inputs)
		if inputs, err = appendFolder(inputs, path); err != nil {
			return nil, fmt.Errorf("%s cannot be loaded: %w", path, err)
		}
		if len(inputs) == before {
			return nil, fmt.Errorf("the folder %s holds no .json or .ndjson file, with .gz or without", path)
		}
	}
	return inputs, nil
}

// appendFolder walks a folder in the order of names, and of types.
func appendFolder(inputs []Input, folder string) ([]Input, error) {
	before := len(inputs)
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !isDataFile(entry.Name()) {
			return err
		}
		info, err := os.Stat(path) // follows links
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

// sortByType brings the files of each folder that are named after a type, such as
// Location.ndjson or Location-2.ndjson.gz, into the order of loading. By name alone
// nearly every reference of a country would wait for its target, and not all can
// (maxPending). Files of other names and other folders stay where they are.
func sortByType(inputs []Input) {
	places := map[string][]int{} // of the files of types, by folder
	for i, in := range inputs {
		if fileType(in.Name) > 0 {
			folder := filepath.Dir(in.Name)
			places[folder] = append(places[folder], i)
		}
	}
	for _, at := range places {
		var files []Input
		for _, i := range at {
			files = append(files, inputs[i])
		}
		slices.SortStableFunc(files, func(a, b Input) int {
			return cmp.Compare(fileType(a.Name), fileType(b.Name))
		})
		for n, i := range at {
			inputs[i] = files[n]
		}
	}
}

// fileType is the type whose name a file begins with, as a whole word, or 0.
func fileType(path string) fhir.Type {
	name := filepath.Base(path)
	end := strings.IndexFunc(name, func(r rune) bool { return !unicode.IsLetter(r) })
	t, _ := fhir.ParseType(name[:max(end, 0)])
	return t
}

// isDataFile tells the files of a folder that are meant to be loaded from others,
// such as a README or the manifest.json of an export or of `muster generate`. How
// a file is read is told from its content.
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
