package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"strconv"

	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/sqlrows"
	"muster/internal/store/writepath"
)

// logPage is how many entries EachChange reads in one transaction.
const logPage = 2000

// EachChange implements store.ChangeLog. Each page is a read transaction of its own, so a slow
// caller does not delay checkpoints for long.
func (s *Store) EachChange(ctx context.Context, after fhir.Instant, yield func(store.Logged) error) error {
	last := store.Logged{Committed: after + 1}
	for {
		n := 0
		err := sqlrows.Query(ctx, s.exports, func(rows *sql.Rows) error {
			if err := rows.Scan(&last.Committed, &last.Key, &last.What); err != nil {
				return err
			}
			n++
			return yield(last)
		}, `SELECT committed, row_key, what FROM change WHERE (committed, row_key) > (?1, ?2)
			ORDER BY committed, row_key LIMIT ?3`, last.Committed, last.Key, logPage)
		if err != nil {
			return fmt.Errorf("read the change log: %w", explain(s.dir, err))
		}
		if n < logPage {
			return nil
		}
	}
}

// recall looks up the versions of resources, and those of removed ones of the same ids.
const recall = `SELECT j.key, r.version = j.value->>2 AND r.last_updated = j.value->>3, coalesce(c.what, 0)
	FROM json_each(?1) AS j CROSS JOIN resource AS r INDEXED BY resource_id ON r.type = j.value->>0 AND r.id = j.value->>1
	LEFT JOIN change AS c ON c.committed = j.value->>3 AND c.row_key = r.row_key
	UNION ALL SELECT j.key, 0, c.what
	FROM json_each(?1) AS j CROSS JOIN tombstone AS t ON t.type = j.value->>0 AND t.id = j.value->>1
	CROSS JOIN change AS c ON c.committed = j.value->>3 AND c.row_key = t.row_key`

// Recall implements store.ChangeLog.
func (s *Store) Recall(ctx context.Context, versions []store.Version) ([]store.Recalled, error) {
	found := make([]store.Recalled, len(versions))
	list := make([][4]any, len(versions))
	for n, v := range versions {
		list[n] = [4]any{int64(v.Type), v.ID, v.Number, int64(v.LastUpdated)}
	}
	err := sqlrows.Query(ctx, s.exports, func(rows *sql.Rows) error {
		var n int
		var r store.Recalled
		if err := rows.Scan(&n, &r.Current, &r.What); err != nil {
			return err
		}
		found[n].Add(r.Current, r.What)
		return nil
	}, recall, asJSON(list))
	if err != nil {
		return nil, fmt.Errorf("look up %d versions: %w", len(versions), explain(s.dir, err))
	}
	return found, nil
}

// LogStart implements store.ChangeLog.
func (s *Store) LogStart(ctx context.Context) (fhir.Instant, error) {
	text, err := metaValue(ctx, s.reads, store.LogStartKey)
	if err != nil {
		return 0, fmt.Errorf("read the start of the change log: %w", explain(s.dir, err))
	}
	at, err := strconv.ParseInt(cmp.Or(text, "0"), 10, 64)
	return fhir.Instant(at), err
}

// entriesPerSweep is about how many entries of the change log one transaction deletes.
const entriesPerSweep = 1000

// SweepLog implements store.ChangeLog.
func (s *Store) SweepLog(ctx context.Context, before fhir.Instant) (swept int64, err error) {
	for {
		n, err := s.sweepLogPage(ctx, before)
		if swept += n; err != nil {
			return swept, fmt.Errorf("delete old entries of the change log: %w", explain(s.dir, err))
		}
		if n == 0 {
			return swept, nil
		}
	}
}

// sweepLogPage deletes the oldest entries in one transaction. It enters the gate only if there are
// any.
func (s *Store) sweepLogPage(ctx context.Context, before fhir.Instant) (int64, error) {
	var old bool
	if err := s.reads.QueryRowContext(ctx, writepath.LogIsOld, before).Scan(&old); err != nil || !old {
		return 0, err
	}
	release, err := s.acquireWriter(ctx)
	if err != nil {
		return 0, err
	}
	defer release()
	tx, err := s.writer.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, setMeta, store.LogStartKey, strconv.FormatInt(int64(before-1), 10)); err != nil {
		return 0, err
	}
	result, err := tx.ExecContext(ctx, writepath.SweepLog, before, entriesPerSweep)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	if err != nil {
		return 0, err
	}
	return n, tx.Commit()
}
