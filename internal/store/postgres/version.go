package postgres

import (
	"context"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/store"
)

// versionColumns are the columns of a current version in the order of verified, from resource AS r
// and doc AS d, and versionValues is how many there are.
const (
	versionColumns = `r.row_key, r.id, r.version, r.committed, r.last_updated, r.visibility, r.size, r.checksum, d.body`
	versionValues  = 9
)

// verified returns the row and the line of versionColumns in binary format, after it has compared
// them with their checksum. The line is valid until the next row is read.
func verified(values [][]byte) (row store.Row, line []byte, err error) {
	row = store.Row{
		Key: store.RowKey(decodeBigint(values[0])), ID: string(values[1]), Version: decodeBigint(values[2]),
		Committed: fhir.Instant(decodeBigint(values[3])), LastUpdated: fhir.Instant(decodeBigint(values[4])),
		Visibility: index.Visibility(decodeBigint(values[5])), Size: decodeBigint(values[6]),
	}
	line = values[8]
	return row, line, row.Verify(line, store.Checksum{Sum: decodeBigint(values[7]), Present: values[7] != nil})
}

// What a server without page checksums does not detect, and the remedy.
const (
	noPageChecksums = "its server does not verify the checksums of pages (data_checksums is off): a damaged page of an index can " +
		"make the results of searches and of exports with filters incomplete without an error"
	enablePageChecksums = "stop the server and run pg_checksums --enable, or create the cluster with initdb --data-checksums"
)

// withoutPageChecksums reports whether the server does not verify the checksums of pages.
func withoutPageChecksums(ctx context.Context, q rowQuerier) (off bool, err error) {
	err = q.QueryRow(ctx, `SELECT current_setting('data_checksums') = 'off'`).Scan(&off)
	return off, err
}

// Unprotected implements store.Directory.
func (s *Store) Unprotected(ctx context.Context) (gaps []store.ProtectionGap, err error) {
	gaps = s.info.ProtectionGaps()
	off, err := withoutPageChecksums(ctx, s.exports)
	if err != nil {
		return nil, explain(err)
	}
	if off {
		gaps = append(gaps, store.ProtectionGap{What: noPageChecksums, Remedy: enablePageChecksums})
	}
	return gaps, nil
}
