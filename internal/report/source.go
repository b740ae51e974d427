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

	"muster/internal/fhir"
	"muster/internal/humanize"
)

// Record is one resource.
type Record struct {
	Type string // empty if the source does not know it
	JSON []byte // valid until the next record is read
}

// Source yields the records of a directory. An error is the last thing it yields.
type Source = iter.Seq2[Record, error]

// maxLine is the maximum length of a line, in bytes.
const maxLine = 16 << 20

// Files returns the records of NDJSON files. Files whose names end in .gz are decompressed.
// A folder stands for the .ndjson and .jsonl files directly in it, with or without .gz, in
// loading order.
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
		var found []string
		for _, pattern := range []string{"*.ndjson", "*.ndjson.gz", "*.jsonl", "*.jsonl.gz"} {
			names, _ := filepath.Glob(filepath.Join(path, pattern))
			found = append(found, names...)
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("report: folder %s has no .ndjson or .jsonl files, with or without .gz: give a folder that has some, or the files", path)
		}
		slices.SortStableFunc(found, func(a, b string) int { return rank(a) - rank(b) })
		files = append(files, found...)
	}
	return files, nil
}

// rank returns the position of a file in loading order, by the start of its name.
func rank(file string) int {
	name, _, _ := strings.Cut(filepath.Base(file), ".")
	if t, ok := fhir.ParseType(name); ok {
		return slices.Index(fhir.Types(), t)
	}
	return len(fhir.Types())
}

// readFile yields the lines of a file. more is false if yield ended the iteration.
func readFile(file string, yield func(Record, error) bool) (more bool, err error) {
	f, err := os.Open(file)
	if err != nil {
		return false, fmt.Errorf("report: %w", err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(file, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			return false, fmt.Errorf("report: read %s: not a gzip file: %w", file, err)
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
		return false, fmt.Errorf("report: read %s: a line is longer than %s: give an NDJSON file of resources", file, humanize.Bytes(maxLine))
	} else if err != nil {
		return false, fmt.Errorf("report: read %s: %w", file, err)
	}
	return true, nil
}
