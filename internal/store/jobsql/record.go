package jobsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"muster/internal/store"
	"muster/internal/store/sqlrows"
)

// EachRecord yields every job with its parts, selections and contents, oldest first, from one
// snapshot.
func (j *Jobs) EachRecord(ctx context.Context, yield func(store.JobRecord) error) error {
	err := j.readOnly(ctx, func(r executor) error {
		rows, err := r.query(ctx, `SELECT id FROM job WHERE id <> '' ORDER BY created, id`)
		if err != nil {
			return err
		}
		ids, err := sqlrows.Collect(rows, func(rows *sql.Rows) (id string, err error) { return id, rows.Scan(&id) })
		if err != nil {
			return err
		}
		for _, id := range ids {
			record, err := r.record(ctx, id)
			if err != nil {
				return err
			}
			if err := yield(record); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read jobs: %w", err)
	}
	return nil
}

// Record returns one job with its parts, selections and contents, or [store.ErrNotFound].
func (j *Jobs) Record(ctx context.Context, id string) (record store.JobRecord, err error) {
	err = j.readOnly(ctx, func(r executor) error {
		record, err = r.record(ctx, id)
		return err
	})
	return record, err
}

// readOnly runs f in one read-only transaction with snapshot isolation.
func (j *Jobs) readOnly(ctx context.Context, f func(executor) error) error {
	tx, err := j.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: j.dialect.SnapshotIsolation})
	if err != nil {
		return err
	}
	err = f(executor{tx, &j.dialect})
	return errors.Join(err, rollBack(ctx, tx))
}

func (r executor) record(ctx context.Context, id string) (record store.JobRecord, err error) {
	if record.Job, err = readJob(ctx, r, id); err != nil {
		return record, err
	}
	if record.Parts, err = readParts(ctx, r, id); err != nil {
		return record, err
	}
	rows, err := r.query(ctx, `SELECT type, keys FROM selection WHERE job_id = ? ORDER BY type`, id)
	if err != nil {
		return record, err
	}
	record.Selections, err = sqlrows.Collect(rows, func(rows *sql.Rows) (s store.SelectionRecord, err error) {
		var packed []byte
		if err := rows.Scan(&s.Type, &packed); err != nil {
			return s, err
		}
		s.Keys, s.Err = decodeSelection(id, s.Type, record.Job.Time, packed)
		return s, nil
	})
	if err != nil {
		return record, err
	}
	rows, err = r.query(ctx, `SELECT number, content FROM part_content WHERE job_id = ? ORDER BY number`, id)
	if err != nil {
		return record, err
	}
	record.Contents, err = sqlrows.Collect(rows, func(rows *sql.Rows) (c store.ContentRecord, err error) {
		var packed []byte
		if err := rows.Scan(&c.Number, &packed); err != nil {
			return c, err
		}
		c.Content, c.Err = decodeContent(id, c.Number, record.Job.Time, packed)
		return c, nil
	})
	return record, err
}
