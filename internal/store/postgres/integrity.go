package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"muster/internal/store"
	"muster/internal/store/sqlrows"
	"muster/internal/store/writepath"
)

const repairDamage = "stop the servers and restore a backup, or load the data into a new database; where an index alone is damaged, REINDEX it"

// Integrity implements store.Inspector. For each index table it compares the number and the
// hash sum of the rows in the orders of its two indexes. If deep is set, amcheck also checks
// every table, and every index against its table. The database can be in use.
func (i *Inspection) Integrity(ctx context.Context, deep bool, yield func(store.IntegrityProblem) error) error {
	// Each ORDER BY is the order of one of the two indexes. Sequential scans are disabled.
	err := i.CheckDirections(ctx,
		func(t *writepath.Table) string { return `ORDER BY row_key, param, ` + strings.Join(t.Columns, ", ") },
		func(t *writepath.Table) string {
			return `ORDER BY param, ` + strings.Join(t.Columns, ", ") + `, row_key`
		}, yield)
	if err != nil {
		return err
	}
	if err := i.CheckTexts(ctx, yield); err != nil {
		return err
	}
	if err := i.CheckCounts(ctx, yield); err != nil {
		return err
	}
	if err := i.checkJobs(ctx, yield); err != nil {
		return err
	}
	if off, err := withoutPageChecksums(ctx, i.pool); err != nil {
		return explain(err)
	} else if off {
		if err := yield(store.IntegrityProblem{Skipped: true, Place: "database " + i.name, Problem: noPageChecksums, Remedy: enablePageChecksums}); err != nil {
			return err
		}
	}
	if !deep {
		return nil
	}
	return i.amcheck(ctx, yield)
}

// checkJobs yields the tables with parts, contents or selections that belong to no job.
func (i *Inspection) checkJobs(ctx context.Context, yield func(store.IntegrityProblem) error) error {
	for _, table := range []string{"part", "part_content", "selection"} {
		var n int64
		err := i.db.QueryRowContext(ctx, `SELECT count(*) FROM `+table+` AS t WHERE NOT EXISTS (SELECT 1 FROM job AS j WHERE j.id = t.job_id)`).Scan(&n)
		if err != nil {
			return explain(err)
		}
		if n > 0 {
			if err := yield(store.IntegrityProblem{Place: "table " + table, Problem: fmt.Sprintf("%d rows belong to no row of table job", n), Remedy: repairDamage}); err != nil {
				return err
			}
		}
	}
	return nil
}

// amcheck checks the tables and indexes of the directory.
func (i *Inspection) amcheck(ctx context.Context, yield func(store.IntegrityProblem) error) error {
	var schema sql.NullString
	err := i.db.QueryRowContext(ctx, `SELECT quote_ident(n.nspname) FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
		WHERE e.extname = 'amcheck'`).Scan(&schema)
	if errors.Is(err, sql.ErrNoRows) {
		return yield(store.IntegrityProblem{Skipped: true, Place: "database " + i.name, Problem: "its pages and indexes were not checked: the extension amcheck is not installed",
			Remedy: "let a superuser run CREATE EXTENSION amcheck in it, and GRANT EXECUTE on its functions"})
	}
	if err != nil {
		return explain(err)
	}
	var names []string
	var isIndex []bool
	err = sqlrows.Query(ctx, i.db, func(rows *sql.Rows) error {
		var name string
		var index bool
		err := rows.Scan(&name, &index)
		names, isIndex = append(names, name), append(isIndex, index)
		return err
	}, `SELECT c.oid::regclass::text, c.relkind = 'i' FROM pg_class AS c LEFT JOIN pg_am AS a ON a.oid = c.relam
		WHERE c.relnamespace = `+thisSchema+` AND (c.relkind = 'r' OR c.relkind = 'i' AND a.amname = 'btree') ORDER BY 1`)
	if err != nil {
		return explain(err)
	}
	for n, name := range names {
		if err := i.checkRelation(ctx, schema.String, name, isIndex[n], yield); err != nil {
			return err
		}
	}
	return nil
}

func (i *Inspection) checkRelation(ctx context.Context, schema, name string, isIndex bool, yield func(store.IntegrityProblem) error) error {
	complain := func(text string) error {
		return yield(store.IntegrityProblem{Place: "database " + i.name + ", " + name, Problem: text, Remedy: repairDamage})
	}
	if isIndex {
		_, err := i.db.ExecContext(ctx, `SELECT `+schema+`.bt_index_check($1::text::regclass, true)`, name)
		if err != nil && ctx.Err() == nil {
			return complain(err.Error())
		}
		return err
	}
	err := sqlrows.Query(ctx, i.db, func(rows *sql.Rows) error {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		return complain(text)
	}, `SELECT msg FROM `+schema+`.verify_heapam($1::text::regclass)`, name)
	if err != nil && ctx.Err() == nil {
		return complain(err.Error())
	}
	return err
}
