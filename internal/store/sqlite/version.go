package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"
)

// versionColumns are the columns of a current version in the order of version.scan, from resource
// AS r and doc AS d.
const versionColumns = `r.row_key, r.id, r.version, r.committed, r.last_updated, r.visibility, r.size, r.checksum, d.body`

// version is a version that is read. Its body is valid until the next row is read.
type version struct {
	row      store.Row
	checksum store.Checksum
	body     sql.RawBytes

	values [8]any
	fields [9]any
}

// scan reads versionColumns, and more columns to other. Values are scanned as they are: a
// conversion by package reflect would take longer than the checksum.
func (v *version) scan(rows *sql.Rows, other ...any) error {
	if v.fields[0] == nil {
		for n := range v.values {
			v.fields[n] = &v.values[n]
		}
		v.fields[8] = &v.body
	}
	if err := rows.Scan(append(v.fields[:], other...)...); err != nil {
		return err
	}
	v.row, v.checksum = store.Row{}, store.Checksum{}
	if v.values[0] == nil {
		return nil // a document without a row
	}
	numbers := [8]int64{}
	for n, value := range v.values {
		if n == 1 || n == 7 && value == nil {
			continue
		}
		number, ok := value.(int64)
		if !ok {
			return store.DamagedRow(store.RowKey(numbers[0]), "has a column of another type")
		}
		numbers[n] = number
	}
	id, ok := v.values[1].(string)
	if !ok {
		return store.DamagedRow(store.RowKey(numbers[0]), "has no id")
	}
	v.row = store.Row{
		Key: store.RowKey(numbers[0]), ID: id, Version: numbers[2], Committed: fhir.Instant(numbers[3]), LastUpdated: fhir.Instant(numbers[4]),
		Visibility: index.Visibility(numbers[5]), Size: numbers[6],
	}
	v.checksum = store.Checksum{Sum: numbers[7], Present: v.values[7] != nil}
	return nil
}

// verify compares the version with its checksum.
func (v *version) verify() error { return v.row.Verify(v.body, v.checksum) }

// Unprotected implements store.Directory.
func (s *Store) Unprotected(ctx context.Context) ([]store.ProtectionGap, error) {
	gaps := s.info.ProtectionGaps()
	for _, file := range []struct {
		name string
		db   *sql.DB
	}{{directoryFile, s.reads}, {jobsFile, s.jobsDB.readers}} {
		off, err := withoutPageSums(ctx, file.db)
		if err != nil {
			return nil, s.explain(err)
		}
		if off {
			gaps = append(gaps, store.ProtectionGap{What: fmt.Sprintf(noPageSums, file.name), Remedy: addPageSums})
		}
	}
	return gaps, nil
}
