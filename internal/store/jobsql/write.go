package jobsql

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"time"

	"muster/internal/client"
	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/sqlrows"
)

// CreateJob implements [store.JobControl].
func (j *Jobs) CreateJob(ctx context.Context, job store.Job, limit int) error {
	err := j.change(ctx, "", func(tx executor) error {
		if err := lockClient(ctx, tx, job.Client); err != nil {
			return err
		}
		if err := checkLive(ctx, tx, job.Client, limit); err != nil {
			return err
		}
		_, err := tx.exec(ctx, `INSERT INTO job (id, owner, client, network, state, request, created, progress) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			job.ID, job.Owner, job.Client.Name, job.Client.Wider, store.Accepted, job.Request, job.Created, job.Created)
		return err
	})
	if err != nil {
		return fmt.Errorf("store job %s: %w", job.ID, err)
	}
	return nil
}

// CheckLive implements [store.JobControl].
func (j *Jobs) CheckLive(ctx context.Context, c client.Client, limit int) error {
	return j.explain(checkLive(ctx, j.reader(), c, limit))
}

// lockClient makes other transactions wait that store a job of the client. All transactions lock
// the names of a client in the same order, the wider last.
func lockClient(ctx context.Context, tx executor, c client.Client) error {
	if tx.dialect.LockClient == "" {
		return nil
	}
	for _, allowed := range c.Allowances() {
		if _, err := tx.exec(ctx, tx.dialect.LockClient, allowed.Name); err != nil {
			return err
		}
	}
	return nil
}

// checkLive returns [store.ErrTooManyJobs] if a client has as many live jobs as it may, under
// one of its allowances. There is no limit if it is 0.
func checkLive(ctx context.Context, on executor, c client.Client, limit int) error {
	if limit <= 0 {
		return nil
	}
	for _, allowed := range c.Allowances() {
		var live int
		if err := on.queryRow(ctx, `SELECT count(*) FROM job WHERE `+clientColumn(c, allowed)+` = ? AND state IN (?, ?, ?)`,
			allowed.Name, store.Accepted, store.Selecting, store.Writing).Scan(&live); err != nil {
			return err
		}
		if live >= limit*allowed.Factor {
			return store.ErrTooManyJobs
		}
	}
	return nil
}

// clientColumn returns the column that holds the name of an allowance.
func clientColumn(c client.Client, a client.Allowance) string {
	if a.Name == c.Name {
		return "client"
	}
	return "network"
}

// BeginSelecting implements [store.JobWriter].
func (j *Jobs) BeginSelecting(ctx context.Context, t *store.Task, at, now fhir.Instant) error {
	return j.progress(ctx, t.Job.ID, func(tx executor) error {
		c, err := checkClaim(ctx, tx, t)
		if err != nil {
			return err
		}
		if err := checkTransition(t.Job.ID, c.state, store.Selecting); err != nil {
			return err
		}
		_, err = tx.exec(ctx, `UPDATE job SET state = ?, time = ?, progress = ? WHERE id = ?`, store.Selecting, at, now, t.Job.ID)
		return err
	})
}

// StoreSelection implements [store.JobWriter].
func (j *Jobs) StoreSelection(ctx context.Context, t *store.Task, selections []store.Selection, parts []store.Part, now, expires fhir.Instant) error {
	commit := j.progress
	if len(parts) == 0 {
		commit = j.change // the job is complete
	}
	return commit(ctx, t.Job.ID, func(tx executor) error {
		c, err := checkClaim(ctx, tx, t)
		if err != nil {
			return err
		}
		if err := checkTransition(t.Job.ID, c.state, store.Writing); err != nil {
			return err
		}
		if err := c.charge(ctx, tx, now); err != nil {
			return err
		}
		var at fhir.Instant
		if err := tx.queryRow(ctx, `SELECT time FROM job WHERE id = ?`, t.Job.ID).Scan(&at); err != nil {
			return err
		}
		selected, err := insertSelections(ctx, tx, t.Job.ID, at, selections)
		if err != nil {
			return err
		}
		generated, err := insertParts(ctx, tx, t.Job.ID, at, parts)
		if err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `UPDATE job SET state = ?, total = ?, found = 0, started = ?, progress = ?, worker = '', lease = 0, retry = 0 WHERE id = ?`,
			store.Writing, selected+generated, now, now, t.Job.ID); err != nil {
			return err
		}
		if len(parts) > 0 {
			return nil
		}
		_, err = settle(ctx, tx, t.Job.ID, endTimes{now, expires})
		return err
	})
}

func insertSelections(ctx context.Context, tx executor, id string, at fhir.Instant, selections []store.Selection) (total int64, err error) {
	for _, s := range selections {
		packed, err := encodeSelection(id, s.Type, at, s.Keys)
		if err != nil {
			return 0, fmt.Errorf("encode selection of %s of job %s: %w", s.Type, id, err)
		}
		if _, err := tx.exec(ctx, `INSERT INTO selection (job_id, type, keys) VALUES (?, ?, ?)`, id, s.Type, packed); err != nil {
			return 0, fmt.Errorf("store selection of %s of job %s: %w", s.Type, id, err)
		}
		total += int64(s.Keys.GetCardinality())
	}
	return total, nil
}

// insertParts stores parts with their contents. It returns the number of lines in the contents.
func insertParts(ctx context.Context, tx executor, id string, at fhir.Instant, parts []store.Part) (generated int64, err error) {
	for n := range parts {
		p := &parts[n]
		kind := cmp.Or(p.Kind, store.PartRows)
		if _, err := tx.exec(ctx, `INSERT INTO part (job_id, number, kind, file, type, first, last, count, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			id, p.Number, kind, p.File, p.Type, p.First, p.Last, p.Count, p.Bytes); err != nil {
			return 0, fmt.Errorf("store part %d of job %s: %w", p.Number, id, err)
		}
		if kind == store.PartRows {
			continue
		}
		if _, err := tx.exec(ctx, `INSERT INTO part_content (job_id, number, content) VALUES (?, ?, ?)`,
			id, p.Number, encodeContent(id, p.Number, at, p.Content)); err != nil {
			return 0, fmt.Errorf("store content of part %d of job %s: %w", p.Number, id, err)
		}
		generated += p.Count
	}
	return generated, nil
}

// FinishPart implements [store.JobWriter].
func (j *Jobs) FinishPart(ctx context.Context, t *store.Task, object string, stored store.Stored, now, expires fhir.Instant) (store.State, error) {
	var next store.State
	err := j.change(ctx, t.Job.ID, func(tx executor) error {
		c, err := checkClaim(ctx, tx, t)
		if err != nil {
			return err
		}
		if err := c.charge(ctx, tx, now); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `UPDATE part SET done = 1, object = ?, written = ?, written_bytes = ?, gzip_bytes = ?, sha256 = ?, fragments = ?,
			found = ?, worker = '', lease = 0 WHERE job_id = ? AND number = ?`,
			object, stored.Count, stored.Bytes, stored.GzipBytes, stored.SHA256, orEmpty(stored.Index), stored.Count, t.Job.ID, t.Part.Number); err != nil {
			return err
		}
		if t.Part.Kind != store.PartRows {
			if _, err := tx.exec(ctx, `DELETE FROM part_content WHERE job_id = ? AND number = ?`, t.Job.ID, t.Part.Number); err != nil {
				return err
			}
		}
		if _, err := tx.exec(ctx, `UPDATE job SET progress = ? WHERE id = ?`, now, t.Job.ID); err != nil {
			return err
		}
		next, err = settle(ctx, tx, t.Job.ID, endTimes{now, expires})
		return err
	})
	return next, err
}

// orEmpty returns an empty slice for nil, for a column that is never NULL.
func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// settle decides the state of a Writing job. A part that differs from the plan fails the
// job at once. After the last part, the job becomes Complete if all lines add up to the
// selection and the contents, and Failed if they do not. It runs in the transaction that finished the
// part, so exactly one worker sees the last part (D7).
func settle(ctx context.Context, tx executor, id string, at endTimes) (store.State, error) {
	var total, open, written, wrong int64
	err := tx.queryRow(ctx, `SELECT j.total, count(CASE WHEN p.done = 0 THEN 1 END), CAST(coalesce(sum(p.written), 0) AS bigint),
		count(CASE WHEN p.done = 1 AND (p.written <> p.count OR p.written_bytes <> p.bytes) THEN 1 END)
		FROM job j LEFT JOIN part p ON p.job_id = j.id WHERE j.id = ? GROUP BY j.id, j.total`, id).Scan(&total, &open, &written, &wrong)
	switch {
	case err != nil:
		return "", err
	case wrong > 0:
		return store.Failed, endJob(ctx, tx, id, store.Failed, "A file differs from what was selected for it. Please start the export again.", at)
	case open > 0:
		return store.Writing, nil
	case written != total:
		reason := fmt.Sprintf("The files hold %d resources, but %d were selected. Please start the export again.", written, total)
		return store.Failed, endJob(ctx, tx, id, store.Failed, reason, at)
	}
	return store.Complete, endJob(ctx, tx, id, store.Complete, "", at)
}

// endTimes are the times of the end of a job: the end itself, and that of its retention.
type endTimes struct{ finished, expires fhir.Instant }

// endJob moves a job to a state that is not live. Only a Complete job keeps its parts and
// selection.
func endJob(ctx context.Context, tx executor, id string, next store.State, reason string, at endTimes) error {
	if next != store.Complete {
		if _, err := tx.exec(ctx, `UPDATE job SET found = found + (SELECT CAST(coalesce(sum(p.found), 0) AS bigint) FROM part p WHERE p.job_id = job.id) WHERE id = ?`, id); err != nil {
			return err
		}
		if err := deleteWork(ctx, tx, id); err != nil {
			return err
		}
	}
	_, err := tx.exec(ctx, `UPDATE job SET state = ?, reason = ?, finished = ?, expires = ?, worker = '', lease = 0,
		stored = (SELECT CAST(coalesce(sum(p.gzip_bytes), 0) AS bigint) FROM part p WHERE p.job_id = job.id) WHERE id = ?`,
		next, reason, at.finished, at.expires, id)
	if err != nil {
		return err
	}
	return settleMembers(ctx, tx, id, next, at.finished)
}

// deleteWork deletes the selection and the parts of a job with their contents.
func deleteWork(ctx context.Context, tx executor, id string) error {
	for _, table := range []string{"selection", "part", "part_content"} {
		if _, err := tx.exec(ctx, `DELETE FROM `+table+` WHERE job_id = ?`, id); err != nil {
			return err
		}
	}
	return nil
}

// checkTransition returns an error if a job may not go from state to next.
func checkTransition(id string, state, next store.State) error {
	if state.CanBecome(next) {
		return nil
	}
	return fmt.Errorf("job %s is %s and cannot become %s", id, state, next)
}

// Fail implements [store.JobQueue].
func (j *Jobs) Fail(ctx context.Context, id, reason string, now, expires fhir.Instant) error {
	err := j.change(ctx, id, func(tx executor) error {
		job, err := readJob(ctx, tx, id)
		if err != nil {
			return err
		}
		if !job.State.CanBecome(store.Failed) {
			return nil
		}
		if err := chargeOpenClaims(ctx, tx, job, now); err != nil {
			return err
		}
		return endJob(ctx, tx, id, store.Failed, reason, endTimes{now, expires})
	})
	if err != nil {
		return fmt.Errorf("fail job %s: %w", id, err)
	}
	return nil
}

// Cancel implements [store.JobControl].
func (j *Jobs) Cancel(ctx context.Context, id, owner string, now, expires fhir.Instant) error {
	return j.change(ctx, id, func(tx executor) error {
		job, err := readJob(ctx, tx, id)
		if err != nil {
			return err
		}
		if job.Owner != owner || !job.State.CanBecome(store.Cancelled) {
			return store.ErrNotFound
		}
		if err := chargeOpenClaims(ctx, tx, job, now); err != nil {
			return err
		}
		return endJob(ctx, tx, id, store.Cancelled, job.Reason, endTimes{now, expires})
	})
}

// SetNextPoll implements [store.JobControl].
func (j *Jobs) SetNextPoll(ctx context.Context, id string, old, next, now fhir.Instant) (bool, error) {
	var changed int64
	err := j.progress(ctx, "", func(tx executor) error {
		result, err := tx.exec(ctx, `UPDATE job SET next_poll = ?, polled = ? WHERE id = ? AND next_poll = ?`, next, now, id, old)
		if err == nil {
			changed, err = result.RowsAffected()
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("store poll of job %s: %w", id, err)
	}
	return changed == 1, nil
}

// Expire implements [store.JobRetention].
func (j *Jobs) Expire(ctx context.Context, now, forget fhir.Instant) (int, error) {
	expired := 0
	err := j.change(ctx, "", func(tx executor) error {
		rows, err := tx.query(ctx, `SELECT j.id FROM job j WHERE j.state IN (?, ?, ?) AND j.expires <= ? ORDER BY j.id `+j.dialect.WaitLocked,
			store.Complete, store.Failed, store.Cancelled, now)
		if err != nil {
			return err
		}
		ids, err := sqlrows.Collect(rows, func(rows *sql.Rows) (id string, err error) { return id, rows.Scan(&id) })
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := deleteWork(ctx, tx, id); err != nil {
				return err
			}
			if _, err := tx.exec(ctx, `UPDATE job SET state = ? WHERE id = ?`, store.Expired, id); err != nil {
				return err
			}
		}
		expired = len(ids)
		// What was counted in the future, before the clock was set back, would count too long.
		if _, err := tx.exec(ctx, `DELETE FROM client_use WHERE minute <= ? OR minute > ?`, firstMinute(now), now+fhir.Instant(time.Minute.Milliseconds())); err != nil {
			return err
		}
		_, err = tx.exec(ctx, `DELETE FROM job WHERE state = ? AND expires < ?`, store.Expired, forget)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("expire jobs: %w", err)
	}
	return expired, nil
}
