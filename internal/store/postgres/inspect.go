package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"muster/internal/store"
	"muster/internal/store/inspectsql"
	"muster/internal/store/jobsql"
	"muster/internal/store/metasql"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// Inspection is a directory that is open for inspection only: it creates, migrates, locks and
// writes nothing, so servers may run at the same time. It implements store.Inspector.
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

// Inspect opens the database with a URL that [CheckURL] accepts. Its schema must be that of this
// program. The non-empty fields of expect must match the directory.
func Inspect(ctx context.Context, url string, expect store.Identity) (*Inspection, error) {
	config, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	i := &Inspection{url: url, name: name(config)}
	if i.pool, err = newPool(config, 2, readSession); err != nil {
		return nil, err
	}
	i.db = stdlib.OpenDBFromPool(i.pool)
	if err := i.open(ctx, expect); err != nil {
		return nil, fmt.Errorf("inspect database %s: %w", i.name, errors.Join(explain(err), i.Close()))
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
	if err := checkComplete(ctx, i.db); err != nil {
		return err
	}
	var known bool
	var err error
	if i.info, known, err = metasql.Read(ctx, i.db); err != nil {
		return err
	}
	if err := i.db.QueryRowContext(ctx, `SELECT current_schema()`).Scan(&i.schema); err != nil {
		return err
	}
	if !known {
		return errors.New("its initialisation was interrupted: run 'muster load' again")
	}
	dialect := jobsDialect
	dialect.SnapshotIsolation, dialect.Explain = sql.LevelRepeatableRead, explain
	i.Inspection = inspectsql.New(i.db, jobsql.New(i.db, dialect), inspectsql.Dialect{
		Numbered: true, JSONKeys: `SELECT value::bigint FROM json_array_elements_text(?::json)`,
		SnapshotIsolation: sql.LevelRepeatableRead, Explain: explain,
	})
	return i.info.Check(expect)
}

// Info returns what the directory was created as.
func (i *Inspection) Info() store.Identity { return i.info }

// RestoreCommand returns the shell command that restores the dump in the folder of a copy
// into a new database.
func (i *Inspection) RestoreCommand(folder string) string {
	schema := ""
	if i.schema == "public" {
		schema = " --schema=public" // a new database already has it
	}
	return fmt.Sprintf("createdb --encoding=UTF8 --template=template0 NEW && pg_restore --no-owner%s --dbname=NEW %s", schema, filepath.Join(folder, DumpFile))
}

// Close closes the connections.
func (i *Inspection) Close() error {
	err := i.db.Close()
	i.pool.Close()
	return err
}

// ReportStalls does nothing: the database ends a wait for the gate after lock_timeout.
func (i *Inspection) ReportStalls(func(store.GateStall)) {}

// StalledGate implements store.Inspector.
func (i *Inspection) StalledGate(ctx context.Context) (store.GateStall, bool, error) {
	return stalledGate(ctx, i.pool, store.GateStallAfter)
}

// Served reports whether a server runs on the database. It reads pg_locks and acquires no
// lock.
func (i *Inspection) Served(ctx context.Context) (served bool, err error) {
	key, _, _ := strings.Cut(serveLock, ",")
	err = i.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND classid::bigint = `+key+` AND objid::bigint = hashtext(current_schema())::bigint & 4294967295)`).Scan(&served)
	if err != nil {
		return false, fmt.Errorf("check whether database %s is served: %w", i.name, explain(err))
	}
	return served, nil
}
