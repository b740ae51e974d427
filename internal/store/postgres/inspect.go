package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"muster/internal/store"
	"muster/internal/store/inspectsql"
	"muster/internal/store/jobsql"
	"muster/internal/store/writepath"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// Inspection is a database that was opened to be looked at: nothing is made, migrated,
// locked or written, so it may be served meanwhile. It implements store.Inspector.
type Inspection struct {
	*inspectsql.Inspection
	url    string
	name   string
	schema string
	info   store.Identity
	pool   *pgxpool.Pool
	db     *sql.DB
}

var _ store.Inspector = (*Inspection)(nil)

// Inspect opens the database. Its schema must be that of this program, and the fields
// of expect that are not empty must be the directory's.
func Inspect(ctx context.Context, url string, expect store.Identity) (*Inspection, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("look at database: write its URL as postgres://USER:PASSWORD@HOST:PORT/DATABASE: %w", err)
	}
	i := &Inspection{url: url, name: name(config)}
	if i.pool, err = newPool(config, 2, readSession); err != nil {
		return nil, err
	}
	i.db = stdlib.OpenDBFromPool(i.pool)
	if err := i.open(ctx, expect); err != nil {
		return nil, fmt.Errorf("look at database %s: %w", i.name, errors.Join(explain(err), i.Close()))
	}
	return i, nil
}

func (i *Inspection) open(ctx context.Context, expect store.Identity) error {
	if err := checkVersion(ctx, i.db, "directory", directoryVersion); err != nil {
		return err
	}
	if err := checkVersion(ctx, i.db, "jobs", jobsVersion); err != nil {
		return err
	}
	var known bool
	var err error
	if i.info, known, err = readMeta(ctx, i.db); err != nil {
		return err
	}
	if err := i.db.QueryRowContext(ctx, `SELECT current_schema()`).Scan(&i.schema); err != nil {
		return err
	}
	if !known {
		return errors.New("its making was interrupted: run 'muster load' on it")
	}
	dialect := locks
	dialect.SnapshotIsolation, dialect.Explain = sql.LevelRepeatableRead, explain
	i.Inspection = inspectsql.New(i.db, jobsql.New(i.db, dialect), inspectsql.Dialect{
		Numbered: true, JSONKeys: `SELECT value::bigint FROM json_array_elements_text(?::json)`,
		SnapshotIsolation: sql.LevelRepeatableRead, Explain: explain,
	})
	return i.info.Check(expect)
}

// Info returns what the directory was made as.
func (i *Inspection) Info() store.Identity { return i.info }

// Schema is the name of the schema that holds the tables.
func (i *Inspection) Schema() string { return i.schema }

// Close closes the connections.
func (i *Inspection) Close() error {
	err := i.db.Close()
	i.pool.Close()
	return err
}

// Served reports whether a server runs on the database now. It looks at the lock
// without taking it.
func (i *Inspection) Served(ctx context.Context) (served bool, err error) {
	key, _, _ := strings.Cut(serveLock, ",")
	err = i.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND classid::bigint = `+key+` AND objid::bigint = hashtext(current_schema())::bigint & 4294967295)`).Scan(&served)
	if err != nil {
		return false, fmt.Errorf("look whether database %s is served: %w", i.name, explain(err))
	}
	return served, nil
}

const wayOfDamage = "stop the servers and restore a backup, or load the data into a new database; where an index alone is damaged, REINDEX it"

// Integrity implements store.Inspector. Deep is amcheck's check of every index with
// the table behind it, and of the tables; it can be done while the database is used.
func (i *Inspection) Integrity(ctx context.Context, deep bool, yield func(store.IntegrityProblem) error) error {
	// Each order is that of one index and not of the other; sequential scans are off.
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
	if err := i.owners(ctx, yield); err != nil || !deep {
		return err
	}
	return i.amcheck(ctx, yield)
}

// owners looks for parts and selections of no job.
func (i *Inspection) owners(ctx context.Context, yield func(store.IntegrityProblem) error) error {
	for _, table := range []string{"part", "selection"} {
		var n int64
		err := i.db.QueryRowContext(ctx, `SELECT count(*) FROM `+table+` AS t WHERE NOT EXISTS (SELECT 1 FROM job AS j WHERE j.id = t.job_id)`).Scan(&n)
		if err != nil {
			return explain(err)
		}
		if n > 0 {
			if err := yield(store.IntegrityProblem{Place: "table " + table, Problem: fmt.Sprintf("%d rows belong to no row of table job", n), Remedy: wayOfDamage}); err != nil {
				return err
			}
		}
	}
	return nil
}

// amcheck lets PostgreSQL check the tables and indexes of muster.
func (i *Inspection) amcheck(ctx context.Context, yield func(store.IntegrityProblem) error) error {
	var schema sql.NullString
	err := i.db.QueryRowContext(ctx, `SELECT quote_ident(n.nspname) FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
		WHERE e.extname = 'amcheck'`).Scan(&schema)
	if errors.Is(err, sql.ErrNoRows) {
		return yield(store.IntegrityProblem{Skipped: true, Place: "database " + i.name, Problem: "its pages and indexes were not looked at: the extension amcheck is not there",
			Remedy: "let a superuser run CREATE EXTENSION amcheck in it, and GRANT EXECUTE on its functions"})
	}
	if err != nil {
		return explain(err)
	}
	var names []string
	var isIndex []bool
	err = inspectsql.Each(ctx, i.db, func(rows *sql.Rows) error {
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
		return yield(store.IntegrityProblem{Place: "database " + i.name + ", " + name, Problem: text, Remedy: wayOfDamage})
	}
	if isIndex {
		_, err := i.db.ExecContext(ctx, `SELECT `+schema+`.bt_index_check($1::text::regclass, true)`, name)
		if err != nil && ctx.Err() == nil {
			return complain(err.Error())
		}
		return err
	}
	err := inspectsql.Each(ctx, i.db, func(rows *sql.Rows) error {
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
