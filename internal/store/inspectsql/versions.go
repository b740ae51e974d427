package inspectsql

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"muster/internal/fhir"
	"muster/internal/store"
)

// OldVersions implements store.Inspector.
func (i *Inspection) OldVersions(ctx context.Context, after store.RowKey, version int64, limit int) (found []store.OldVersion, err error) {
	err = i.Read(ctx, func(tx *sql.Tx) error {
		return i.each(ctx, tx, func(rows *sql.Rows) error {
			var v store.OldVersion
			var sum sql.NullInt64
			if err := rows.Scan(&v.Key, &v.ID, &v.Version, &v.Committed, &v.Superseded, &v.LastUpdated, &v.Visibility, &v.Size, &sum, &v.Body, &v.Current); err != nil {
				return err
			}
			v.Checksum = store.Checksum{Sum: sum.Int64, Present: sum.Valid}
			found = append(found, v)
			return nil
		}, `SELECT h.row_key, h.id, h.version, h.committed, h.superseded, h.last_updated, h.visibility, h.size, h.checksum, h.body,
			coalesce((SELECT version FROM resource AS r WHERE r.row_key = h.row_key), 0)
			FROM history AS h WHERE (h.row_key, h.version) > (?, ?) ORDER BY h.row_key, h.version LIMIT ?`, int64(after), version, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	return found, nil
}

// Tombstones implements store.Inspector.
func (i *Inspection) Tombstones(ctx context.Context, after store.Tombstone, limit int) (found []store.Tombstone, err error) {
	err = i.Read(ctx, func(tx *sql.Tx) error {
		return i.each(ctx, tx, func(rows *sql.Rows) error {
			var b store.Tombstone
			if err := rows.Scan(&b.Type, &b.ID, &b.Version, &b.Key, &b.Committed, &b.Current, &b.KeyInUse); err != nil {
				return err
			}
			found = append(found, b)
			return nil
		}, `SELECT t.type, t.id, t.version, t.row_key, t.committed,
			coalesce((SELECT version FROM resource AS r WHERE r.type = t.type AND r.id = t.id), 0),
			EXISTS (SELECT 1 FROM resource AS k WHERE k.row_key = t.row_key)
			FROM tombstone AS t WHERE (t.type, t.id, t.version) > (?, ?, ?) ORDER BY t.type, t.id, t.version LIMIT ?`,
			int64(after.Type), after.ID, after.Version, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("read tombstones: %w", err)
	}
	return found, nil
}

// readable selects the sizes of the versions that ReadAsOf would read, or -1.
const readable = `WITH k AS (%s) SELECT k.value, coalesce(
		(SELECT r.size FROM resource AS r WHERE r.row_key = k.value AND r.committed <= ?),
		(SELECT h.size FROM history AS h WHERE h.row_key = k.value AND h.committed <= ? AND h.superseded > ?),
		-1) FROM k`

// Readable implements store.Inspector.
func (i *Inspection) Readable(ctx context.Context, keys []store.RowKey, t fhir.Instant) (bytes int64, missing []store.RowKey, err error) {
	if len(keys) == 0 {
		return 0, nil, nil
	}
	list, err := json.Marshal(keys)
	if err != nil {
		return 0, nil, err
	}
	err = i.Read(ctx, func(tx *sql.Tx) error {
		return i.each(ctx, tx, func(rows *sql.Rows) error {
			var key store.RowKey
			var size int64
			if err := rows.Scan(&key, &size); err != nil {
				return err
			}
			if size < 0 {
				missing = append(missing, key)
				return nil
			}
			bytes += size
			return nil
		}, fmt.Sprintf(readable, i.dialect.JSONKeys), string(list), int64(t), int64(t), int64(t))
	})
	if err != nil {
		return 0, nil, fmt.Errorf("look up versions as of %v: %w", t, err)
	}
	return bytes, missing, nil
}
