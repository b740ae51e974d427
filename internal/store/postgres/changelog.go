package postgres

import (
	"cmp"
	"context"
	"fmt"
	"strconv"

	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/placeholder"
	"muster/internal/store/writepath"
)

// EachChange implements store.ChangeLog. It is one statement: the index on the log has no row
// keys, from which the next page could continue, and old versions of rows disturb only VACUUM. A
// resource that one commit has written twice has two rows, which count as one entry.
func (s *Store) EachChange(ctx context.Context, after fhir.Instant, yield func(store.Logged) error) error {
	err := eachRaw(ctx, s.exports, `SELECT committed, row_key, bit_or(what) FROM change WHERE committed > $1 AND row_key > 0
		GROUP BY committed, row_key ORDER BY committed, row_key`,
		func(values [][]byte) error {
			return yield(store.Logged{Committed: fhir.Instant(decodeBigint(values[0])),
				Key: store.RowKey(decodeBigint(values[1])), What: store.What(decodeBigint(values[2]))})
		}, int64(after))
	if err != nil {
		return fmt.Errorf("read the change log: %w", explain(err))
	}
	return nil
}

// recall looks up the versions of resources, and those of removed ones of the same ids.
const recall = `WITH k AS (SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS k (type, id, version, at, n))
	SELECT k.n, r.version = k.version AND r.last_updated = k.at,
	coalesce((SELECT bit_or(c.what) FROM change AS c WHERE c.committed = k.at AND c.row_key = r.row_key), 0)
	FROM k JOIN resource AS r ON r.type = k.type AND r.id = k.id
	UNION ALL SELECT k.n, false, c.what
	FROM k JOIN tombstone AS t ON t.type = k.type AND t.id = k.id JOIN change AS c ON c.committed = k.at AND c.row_key = t.row_key`

// Recall implements store.ChangeLog.
func (s *Store) Recall(ctx context.Context, versions []store.Version) ([]store.Recalled, error) {
	found := make([]store.Recalled, len(versions))
	types, ids, numbers, times := []int64{}, []string{}, []int64{}, []int64{}
	for _, v := range versions {
		types, ids = append(types, int64(v.Type)), append(ids, v.ID)
		numbers, times = append(numbers, v.Number), append(times, int64(v.LastUpdated))
	}
	err := eachRaw(ctx, s.exports, recall, func(values [][]byte) error {
		found[decodeBigint(values[0])-1].Add(decodeBigint(values[1]) != 0, store.What(decodeBigint(values[2])))
		return nil
	}, types, ids, numbers, times)
	if err != nil {
		return nil, fmt.Errorf("look up %d versions: %w", len(versions), explain(err))
	}
	return found, nil
}

// LogStart implements store.ChangeLog.
func (s *Store) LogStart(ctx context.Context) (fhir.Instant, error) {
	text, err := metaValue(ctx, s.reads, store.LogStartKey)
	if err != nil {
		return 0, fmt.Errorf("read the start of the change log: %w", explain(err))
	}
	at, err := strconv.ParseInt(cmp.Or(text, "0"), 10, 64)
	return fhir.Instant(at), err
}

// entriesPerSweep is about how many entries of the change log one transaction deletes.
const entriesPerSweep = 1000

// SweepLog implements store.ChangeLog. It does not pass the gate, unlike SQLite's: writers only
// append to the log.
func (s *Store) SweepLog(ctx context.Context, before fhir.Instant) (swept int64, err error) {
	for {
		n, err := s.sweepLogPage(ctx, before)
		if swept += n; err != nil {
			return swept, fmt.Errorf("delete old entries of the change log: %w", explain(err))
		}
		if n == 0 {
			return swept, nil
		}
	}
}

// sweepLogPage deletes the oldest entries in one transaction.
func (s *Store) sweepLogPage(ctx context.Context, before fhir.Instant) (int64, error) {
	var old bool
	if err := s.gate.QueryRowContext(ctx, placeholder.Number(writepath.LogIsOld), int64(before)).Scan(&old); err != nil || !old {
		return 0, err
	}
	tx, err := s.gate.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, setMeta, store.LogStartKey, strconv.FormatInt(int64(before-1), 10)); err != nil {
		return 0, err
	}
	result, err := tx.ExecContext(ctx, placeholder.Number(writepath.SweepLog), int64(before), entriesPerSweep)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	if err != nil {
		return 0, err
	}
	return n, tx.Commit()
}
