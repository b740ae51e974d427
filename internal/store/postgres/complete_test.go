package postgres

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"muster/internal/store"
	"muster/internal/store/storetest"
	"muster/internal/testkit/pgtest"
)

// TestLostData deletes the data of each table and each sequence, which is what a restore without
// them leaves. The database is refused with the name of what is lost, and is accepted when the data
// are back.
func TestLostData(t *testing.T) {
	where := pgtest.Database(t)
	s := openTest(t, where, nil)
	if _, err := s.Apply(t.Context(), storetest.Changes(3)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// Each sequence has been used.
	run(t, where, `INSERT INTO name (text) VALUES ('a system')`, `INSERT INTO ix_text (param, norm) VALUES (0, 'a text')`)
	for _, table := range append(slices.Sorted(maps.Keys(schemaTables)), directoryVersion, jobsVersion) {
		t.Run(table, func(t *testing.T) {
			lose(t, where, table, func() { wantIncomplete(t, where, table, table == "client_use" || table == "signing_key") })
		})
	}
	for _, sequence := range sequences(t, where) {
		t.Run(sequence, func(t *testing.T) {
			run(t, where, `CREATE TABLE kept AS SELECT last_value FROM `+sequence, `ALTER SEQUENCE `+sequence+` RESTART`)
			wantIncomplete(t, where, sequence, false)
			run(t, where, `SELECT setval('`+sequence+`', last_value) FROM kept`, `DROP TABLE kept`)
		})
	}
	wantIncomplete(t, where, "nothing", true)
}

// TestLostDataOfEmptyDirectory deletes the data of tables of a directory without resources.
func TestLostDataOfEmptyDirectory(t *testing.T) {
	where := initialised(t)
	for table, mayBeEmpty := range map[string]bool{"ix_token": false, "resource_count": false, "resource": true, "doc": true} {
		lose(t, where, table, func() { wantIncomplete(t, where, table, mayBeEmpty) })
	}
	wantIncomplete(t, where, "nothing", true)
}

// lose runs a check while the data of a table are lost.
func lose(t *testing.T, where, table string, check func()) {
	t.Helper()
	const withoutTriggers = `SET session_replication_role = replica` // of foreign keys
	run(t, where, withoutTriggers, `CREATE TABLE kept AS TABLE `+table, `DELETE FROM `+table)
	check()
	run(t, where, withoutTriggers, `INSERT INTO `+table+` TABLE kept`, `DROP TABLE kept`)
}

// wantIncomplete opens and inspects a database whose data of a table or sequence are lost, unless
// complete is set.
func wantIncomplete(t *testing.T, where, lost string, complete bool) {
	t.Helper()
	for how, open := range map[string]func() (interface{ Close() error }, error){
		"open": func() (interface{ Close() error }, error) {
			return Open(t.Context(), where, store.Options{Create: &testInfo})
		},
		"inspect": func() (interface{ Close() error }, error) { return Inspect(t.Context(), where, store.Identity{}) },
	} {
		opened, err := open()
		switch {
		case err == nil && !complete:
			t.Errorf("%s: not refused", how)
		case err == nil:
		case complete:
			t.Errorf("%s: %v", how, err)
			continue
		case !strings.Contains(err.Error(), "the data of "+lost+" is missing: restore all of the dump again"):
			t.Errorf("%s: %v", how, err)
		}
		if err == nil {
			if err := opened.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// sequences returns the names of the sequences of a database.
func sequences(t *testing.T, where string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	rows, err := conn.Query(t.Context(), `SELECT relname::text FROM pg_class WHERE relkind = 'S' AND relnamespace = `+thisSchema+` ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(names) != 4 {
		t.Fatal(names, err)
	}
	return names
}

// TestLostIdentity drops the sequence of an identity column.
func TestLostIdentity(t *testing.T) {
	wantRefused(t, initialised(t, `ALTER TABLE name ALTER COLUMN name_id DROP IDENTITY`), store.Options{}, "the data of name_name_id_seq is missing")
}

// TestLostForeignKey drops a foreign key, which a restore cannot create if the rows that it refers
// to are lost.
func TestLostForeignKey(t *testing.T) {
	wantRefused(t, initialised(t, `ALTER TABLE part DROP CONSTRAINT part_job_id_fkey`), store.Options{}, "1 of the 1 foreign keys of table part is missing")
}
