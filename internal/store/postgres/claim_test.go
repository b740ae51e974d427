package postgres

import (
	"fmt"
	"testing"

	"muster/internal/client"
	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/jobsql"
	"muster/internal/testkit/pgtest"
)

// TestClaimReadsEachJobOnce checks that the rows that a claim reads grow with the jobs that wait, and
// not with their product with the clients, whatever the statistics of the tables say.
func TestClaimReadsEachJobOnce(t *testing.T) {
	const now, clients, jobsOfClient, minutes = fhir.Instant(1_800_000_000_000), 64, 5, 10
	s := openTest(t, pgtest.Database(t), nil)
	exec := func(statement string, args ...any) {
		t.Helper()
		if _, err := s.jobs.ExecContext(t.Context(), statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	claim := func() int64 {
		t.Helper()
		tx, err := s.jobs.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback() }()
		read := func() (rows int64) {
			t.Helper()
			// The numbers include earlier transactions of the session.
			if err := tx.QueryRowContext(t.Context(), `SELECT coalesce(sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)), 0)
				FROM pg_stat_xact_user_tables WHERE relname IN ('job', 'part', 'client_use')`).Scan(&rows); err != nil {
				t.Fatal(err)
			}
			return rows
		}
		before := read()
		if task, err := s.Claim(jobsql.Within(t.Context(), tx), "w", now+1000, 1000, store.Bounds{}); err != nil || task == nil {
			t.Fatalf("claim: %v, %v", task, err)
		}
		return read() - before
	}
	// Each client has used some time, most have an export that waits, and each tenth writes one.
	exec(`ANALYZE job, part, client_use`)
	for n := range clients * jobsOfClient {
		of := client.Client{Name: fmt.Sprintf("address 192.0.2.%d", n/jobsOfClient)}
		job := store.Job{ID: fmt.Sprintf("job-%03d", n), Owner: "anna", Client: of, Request: []byte("{}"), Created: now + fhir.Instant(n)}
		if err := s.CreateJob(t.Context(), job, 0); err != nil {
			t.Fatal(err)
		}
	}
	exec(`INSERT INTO client_use SELECT DISTINCT client, $1::bigint - 60000 * m, 1 FROM job, generate_series(1, $2::int) AS m`, int64(now-now%60_000), minutes)
	exec(`INSERT INTO part (job_id, number, file, type, first, last, count, bytes)
		SELECT id, n, id || n, 1, 1, 2, 2, 100 FROM job, generate_series(1, 3) AS n WHERE id LIKE '%7'`)
	exec(`UPDATE job SET state = $1, turn = 1 WHERE id LIKE '%7'`, store.Writing)
	// Each job when claims are counted and when tasks are listed, the time that was used for each
	// client, for its selections and for its parts, and some more for the claim itself.
	most := int64(2*clients*jobsOfClient + 2*clients*minutes + 300)
	for _, statistics := range []string{"of empty tables", "of these tables"} {
		if read := claim(); read > most {
			t.Errorf("with statistics %s, a claim reads %d rows, want at most %d", statistics, read, most)
		}
		exec(`ANALYZE job, part, client_use`)
	}
}
