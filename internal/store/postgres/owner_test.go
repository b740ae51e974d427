package postgres

import (
	"crypto/rand"
	"net/url"
	"strings"
	"testing"
	"time"

	"muster/internal/store"
	"muster/internal/testkit/pgtest"
)

func filesOwner(t *testing.T, s *Store) string {
	t.Helper()
	id, err := s.FilesOwner(t.Context())
	if err != nil || len(id) < 32 {
		t.Fatalf("the owner %q, %v", id, err)
	}
	return id
}

// TestFilesOwner checks that all processes on a database are one owner. A database with the same
// rows in another location, as pg_restore creates it, is another owner.
func TestFilesOwner(t *testing.T) {
	place := pgtest.Database(t)
	s := openTest(t, place, time.Now)
	id := filesOwner(t, s)
	if again := filesOwner(t, openTest(t, place, time.Now)); again != id {
		t.Errorf("another process has the id %s, the first %s", again, id)
	}
	restored := openTest(t, pgtest.Database(t), time.Now)
	if _, err := restored.gate.ExecContext(t.Context(), `INSERT INTO meta (key, value) VALUES ('secret_folder', $1)`, secretOf(t, s)); err != nil {
		t.Fatal(err)
	}
	if other := filesOwner(t, restored); other == id {
		t.Errorf("the same rows in another schema are the same owner, %s", id)
	}
}

// TestFilesOwnerRestoredInPlace recreates table meta in the same schema, as pg_restore --clean
// does. The result is another owner, since it does not have the younger exports.
func TestFilesOwnerRestoredInPlace(t *testing.T) {
	s := openTest(t, pgtest.Database(t), time.Now)
	id := filesOwner(t, s)
	for _, statement := range []string{`CREATE TABLE remade (LIKE meta INCLUDING ALL)`, `INSERT INTO remade SELECT * FROM meta`,
		`DROP TABLE meta`, `ALTER TABLE remade RENAME TO meta`} {
		if _, err := s.gate.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if restored := filesOwner(t, s); restored == id {
		t.Errorf("restored in place it is the same owner, %s", id)
	}
}

// TestInspectedFilesOwner checks that an inspection returns the same id, and creates none.
func TestInspectedFilesOwner(t *testing.T) {
	place := pgtest.Database(t)
	s := openTest(t, place, time.Now)
	i, err := Inspect(t.Context(), place, store.Identity{})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	for range 2 {
		if id, err := i.FilesOwner(t.Context()); err != nil || id != "" {
			t.Errorf("before it was created the id is %q, %v", id, err)
		}
	}
	want := filesOwner(t, s)
	if id, err := i.FilesOwner(t.Context()); err != nil || id != want {
		t.Errorf("the id is %q, %v; want %q", id, err, want)
	}
}

// secretOf reads the secret, which is part of a dump.
func secretOf(t *testing.T, s *Store) (text string) {
	t.Helper()
	if err := s.gate.QueryRowContext(t.Context(), `SELECT value FROM meta WHERE key = 'secret_folder'`).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

// TestFilesOwnerWithoutRights checks that the error for a role without the privilege says what
// to grant.
func TestFilesOwnerWithoutRights(t *testing.T) {
	place := pgtest.DatabaseOn(t, pgtest.StartServer(t).URL) // where the test can revoke the privilege
	_ = openTest(t, place, time.Now).Close()
	u, err := url.Parse(place)
	if err != nil {
		t.Fatal(err)
	}
	schema, role := u.Query().Get("search_path"), "role_"+strings.ToLower(rand.Text())
	admin, err := Open(t.Context(), place, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	for _, statement := range []string{`CREATE ROLE ` + role + ` LOGIN`, `GRANT ALL ON SCHEMA ` + schema + ` TO ` + role,
		`GRANT ALL ON ALL TABLES IN SCHEMA ` + schema + ` TO ` + role, `REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC`} {
		if _, err := admin.gate.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	u.User = url.User(role)
	s, err := Open(t.Context(), u.String(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.FilesOwner(t.Context()); err == nil || !strings.Contains(err.Error(), "GRANT EXECUTE ON FUNCTION pg_control_system() TO") {
		t.Errorf("error %v", err)
	}
	if _, err := admin.gate.ExecContext(t.Context(), `GRANT EXECUTE ON FUNCTION pg_control_system() TO `+role); err != nil {
		t.Fatal(err)
	}
	if got, want := filesOwner(t, s), filesOwner(t, admin); got != want {
		t.Errorf("with the privilege the id is %s, for others %s", got, want)
	}
}
