package jobsql

import (
	"context"
	"fmt"

	"muster/internal/fhir"
	"muster/internal/store"
)

// CheckQuota implements [store.JobControl].
func (j *Jobs) CheckQuota(ctx context.Context, job store.Job, q store.Quota, now fhir.Instant) error {
	var scopes []quotaScope
	if q.Client > 0 {
		for _, allowed := range job.Client.Allowances() {
			scopes = append(scopes, quotaScope{limit: q.Client * int64(allowed.Factor), where: `j.` + clientColumn(job.Client, allowed) + ` = ? AND `, args: []any{allowed.Name}})
		}
	}
	if q.Total > 0 {
		scopes = append(scopes, quotaScope{limit: q.Total, total: true})
	}
	for _, s := range scopes {
		used, frees, err := s.used(ctx, j.reader(), job, now)
		if err != nil {
			return fmt.Errorf("sum up the files of exports: %w", j.explain(err))
		}
		if used > s.limit || used == s.limit && job.State != store.Writing {
			return &store.OverQuota{Total: s.total, Used: used, Limit: s.limit, Frees: frees}
		}
	}
	return nil
}

// quotaScope is a set of jobs that a limit is for.
type quotaScope struct {
	limit int64
	total bool
	where string // a condition on the job j with AND at its end, or empty for all jobs
	args  []any
}

// used returns the bytes that count, and when the first complete job expires. Jobs that began to
// write after a job that is writing do not count against it, so of two that do not fit together
// one is finished.
func (s quotaScope) used(ctx context.Context, r executor, job store.Job, now fhir.Instant) (used int64, frees fhir.Instant, err error) {
	args := append([]any{int64(store.LeastStored), int64(store.LeastStored)}, s.args...)
	err = r.queryRow(ctx, `SELECT CAST(coalesce(sum(CASE WHEN j.stored > ? THEN j.stored ELSE ? END), 0) AS bigint), coalesce(min(j.expires), 0)
		FROM job j WHERE `+s.where+`j.state = ? AND j.expires > ?`, append(args, store.Complete, now)...).Scan(&used, &frees)
	if err != nil {
		return 0, 0, err
	}
	query := `SELECT CAST(coalesce(sum(CASE WHEN p.done = 1 THEN p.gzip_bytes ELSE p.bytes / ? END), 0) AS bigint)
		FROM job j JOIN part p ON p.job_id = j.id WHERE ` + s.where + `j.state = ?`
	args = append(append([]any{int64(store.Compression)}, s.args...), store.Writing)
	if job.State == store.Writing {
		query += ` AND (j.started < ? OR j.started = ? AND j.id <= ?)`
		args = append(args, job.Started, job.Started, job.ID)
	}
	var writing int64
	err = r.queryRow(ctx, query, args...).Scan(&writing)
	return used + writing, frees, err
}
