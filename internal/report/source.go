package report

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Record is one resource: its type, when the source knows it, and its JSON,
// which is valid until the next record is asked for.
type Record struct {
	Type string
	JSON []byte
}

// Source yields the records of a directory. An error is the last thing it yields.
type Source = iter.Seq2[Record, error]

// loadOrder are the types in the order in which references resolve best.
var loadOrder = []string{"Organization", "Location", "Endpoint", "HealthcareService", "Practitioner", "PractitionerRole", "Provenance"}

// maxLine is the longest line that is read, in bytes.
const maxLine = 16 << 20

// Files returns the records of NDJSON files, plain or gzip by their names
// (.ndjson, .ndjson.gz). Of a folder it takes the files directly in it, in load order.
func Files(paths ...string) Source {
	return func(yield func(Record, error) bool) {
		files, err := expand(paths)
		if err != nil {
			yield(Record{}, err)
			return
		}
		for _, file := range files {
			more, err := readFile(file, yield)
			if err != nil {
				yield(Record{}, err)
			}
			if err != nil || !more {
				return
			}
		}
	}
}

// expand lists the files of paths.
func expand(paths []string) (files []string, err error) {
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		plain, _ := filepath.Glob(filepath.Join(path, "*.ndjson"))
		zipped, _ := filepath.Glob(filepath.Join(path, "*.ndjson.gz"))
		found := append(plain, zipped...)
		if len(found) == 0 {
			return nil, fmt.Errorf("report: folder %s holds no .ndjson or .ndjson.gz files: name a folder that does, or the files", path)
		}
		slices.SortStableFunc(found, func(a, b string) int { return rank(a) - rank(b) })
		files = append(files, found...)
	}
	return files, nil
}

// rank is the place of a file in the load order, by the start of its name.
func rank(file string) int {
	name, _, _ := strings.Cut(filepath.Base(file), ".")
	if i := slices.Index(loadOrder, name); i >= 0 {
		return i
	}
	return len(loadOrder)
}

func readFile(file string, yield func(Record, error) bool) (more bool, err error) {
	f, err := os.Open(file)
	if err != nil {
		return false, fmt.Errorf("report: %w", err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(file, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			return false, fmt.Errorf("report: %s is not gzip: %w", file, err)
		}
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 1<<16), maxLine)
	for lines.Scan() {
		if line := bytes.TrimSpace(lines.Bytes()); len(line) > 0 && !yield(Record{JSON: line}, nil) {
			return false, nil
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return false, fmt.Errorf("report: %s has a line longer than %d MiB: it is no NDJSON of resources", file, maxLine>>20)
	} else if err != nil {
		return false, fmt.Errorf("report: reading %s: %w", file, err)
	}
	return true, nil
}
