package inspectsql

import (
	"context"
	"database/sql"

	"muster/internal/store"
	"muster/internal/store/sqlrows"
)

// EachJob implements store.Inspector.
func (i *Inspection) EachJob(ctx context.Context, yield func(store.JobRecord) error) error {
	return i.dialect.Explain(i.jobs.EachRecord(ctx, yield))
}

// JobRecord implements store.Inspector.
func (i *Inspection) JobRecord(ctx context.Context, id string) (store.JobRecord, error) {
	record, err := i.jobs.Record(ctx, id)
	return record, i.dialect.Explain(err)
}

// Objects returns the names of the files that parts of jobs name, in ascending order.
func Objects(ctx context.Context, jobs sqlrows.Querier) (names []string, err error) {
	err = sqlrows.Query(ctx, jobs, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		names = append(names, name)
		return err
	}, `SELECT object FROM part WHERE object <> '' ORDER BY object`)
	return names, err
}
