package jobsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"muster/internal/fhir"
	"muster/internal/store"
)

// Claim implements [store.JobQueue].
func (j *Jobs) Claim(ctx context.Context, worker string, now fhir.Instant, lease int64) (*store.Task, error) {
	c := claimRequest{worker, now, lease}
	for {
		task, err := c.next(ctx, j)
		if errors.Is(err, errRaced) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("claim work: %w", err)
		}
		return task, nil
	}
}

// errRaced reports that another worker has claimed the selected task first.
var errRaced = errors.New("another worker claimed it")

// claimRequest holds the arguments of Claim.
type claimRequest struct {
	worker string
	now    fhir.Instant
	lease  int64
}

// next claims the first task of a job that no transaction has locked. If there is none, it
// waits for the locks of other transactions.
func (c claimRequest) next(ctx context.Context, j *Jobs) (task *store.Task, err error) {
	locks := []string{j.dialect.SkipLocked, j.dialect.WaitLocked}
	for i, lock := range locks {
		if i > 0 && lock == locks[0] {
			break
		}
		err = j.change(ctx, "", func(tx executor) (err error) {
			if task, err = c.selection(ctx, tx, lock); task != nil || err != nil {
				return err
			}
			task, err = c.part(ctx, tx, lock)
			return err
		})
		if task != nil || err != nil {
			break
		}
	}
	return task, err
}

func (c claimRequest) selection(ctx context.Context, tx executor, lock string) (*store.Task, error) {
	task := store.Task{Worker: c.worker}
	var id string
	err := tx.queryRow(ctx, `UPDATE job SET worker = ?, fence = fence + 1, lease = ?, attempts = attempts + 1, found = 0
		WHERE id = (SELECT j.id FROM job j WHERE j.state IN (?, ?) AND j.lease <= ? AND j.retry <= ? ORDER BY j.created, j.id LIMIT 1 `+lock+`)
		RETURNING id, fence, attempts`,
		c.worker, c.now+fhir.Instant(c.lease), store.Accepted, store.Selecting, c.now, c.now).Scan(&id, &task.Fence, &task.Attempt)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	task.Job, err = readJob(ctx, tx, id)
	return &task, err
}

func (c claimRequest) part(ctx context.Context, tx executor, lock string) (*store.Task, error) {
	task := store.Task{Worker: c.worker, Part: &store.Part{}}
	err := tx.queryRow(ctx, `SELECT `+partColumns+` FROM part p JOIN job j ON j.id = p.job_id
		WHERE j.state = ? AND p.done = 0 AND p.lease <= ? AND p.retry <= ?
		ORDER BY j.turn, j.created, j.id, p.number LIMIT 1 `+lock, store.Writing, c.now, c.now).Scan(partFields(task.Part)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	id := task.Part.JobID
	// The part was read before its job was locked: another worker may have claimed it.
	err = tx.queryRow(ctx, `UPDATE part SET worker = ?, fence = fence + 1, lease = ?, attempts = attempts + 1, found = 0
		WHERE job_id = ? AND number = ? AND done = 0 AND lease <= ? AND retry <= ? RETURNING fence, attempts`,
		c.worker, c.now+fhir.Instant(c.lease), id, task.Part.Number, c.now, c.now).Scan(&task.Fence, &task.Attempt)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errRaced
	}
	if err != nil {
		return nil, err
	}
	if _, err := tx.exec(ctx, `UPDATE job SET turn = (SELECT max(turn) + 1 FROM job) WHERE id = ?`, id); err != nil {
		return nil, err
	}
	task.Job, err = readJob(ctx, tx, id)
	return &task, err
}

// checkClaim checks that the claim is the current one of its task. It returns the state of
// the job and the number of resources that the claim has recorded.
func checkClaim(ctx context.Context, tx executor, t *store.Task) (state store.State, found int64, err error) {
	var worker string
	var fence int64
	query, args := `SELECT state, found, worker, fence FROM job WHERE id = ?`, []any{t.Job.ID}
	if t.Part != nil {
		query = `SELECT j.state, coalesce(p.found, 0), coalesce(p.worker, ''), coalesce(p.fence, 0)
			FROM job j LEFT JOIN part p ON p.job_id = j.id AND p.number = ? AND p.done = 0 WHERE j.id = ?`
		args = []any{t.Part.Number, t.Job.ID}
	}
	err = tx.queryRow(ctx, query, args...).Scan(&state, &found, &worker, &fence)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", 0, store.ErrLeaseLost
	case err != nil:
		return "", 0, err
	case state == store.Cancelled || state == store.Expired:
		return state, 0, store.ErrCancelled
	case !state.Live() || (t.Part != nil) != (state == store.Writing) || worker != t.Worker || fence != t.Fence:
		return state, 0, store.ErrLeaseLost
	}
	return state, found, nil
}

// Renew implements [store.JobQueue].
func (j *Jobs) Renew(ctx context.Context, t *store.Task, now fhir.Instant, lease int64, found int64) error {
	return j.change(ctx, t.Job.ID, func(tx executor) error {
		_, before, err := checkClaim(ctx, tx, t)
		if err != nil {
			return err
		}
		if err := updateClaim(ctx, tx, t, `lease = ?, found = ?`, now+fhir.Instant(lease), found); err != nil {
			return err
		}
		if found > before {
			_, err = tx.exec(ctx, `UPDATE job SET progress = ? WHERE id = ?`, now, t.Job.ID)
		}
		return err
	})
}

// Release implements [store.JobQueue].
func (j *Jobs) Release(ctx context.Context, t *store.Task, retry fhir.Instant, failed bool) error {
	return j.change(ctx, t.Job.ID, func(tx executor) error {
		_, _, err := checkClaim(ctx, tx, t)
		if errors.Is(err, store.ErrLeaseLost) || errors.Is(err, store.ErrCancelled) {
			return nil
		}
		if err != nil {
			return err
		}
		counted := 1
		if failed {
			counted = 0
		}
		return updateClaim(ctx, tx, t, `worker = '', lease = 0, found = 0, retry = ?, attempts = attempts - ?`, retry, counted)
	})
}

// EndClaims ends the leases of all claims and returns how many there were. Only a process
// that holds the serve lock and has not started to work may call it: the process that made
// these claims has ended, because two processes never serve one directory. The claims count
// as attempts, and the fencing tokens keep increasing.
func (j *Jobs) EndClaims(ctx context.Context) (ended int64, err error) {
	err = j.change(ctx, "", func(tx executor) error {
		for _, table := range []string{"job", "part"} {
			result, err := tx.exec(ctx, `UPDATE `+table+` SET lease = 0 WHERE lease > 0`)
			if err != nil {
				return err
			}
			n, err := result.RowsAffected()
			if err != nil {
				return err
			}
			ended += n
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("end claims of stopped server: %w", err)
	}
	return ended, nil
}

// updateClaim sets columns that jobs and parts share.
func updateClaim(ctx context.Context, tx executor, t *store.Task, set string, args ...any) error {
	query := `UPDATE job SET ` + set + ` WHERE id = ?`
	args = append(args, t.Job.ID)
	if t.Part != nil {
		query = `UPDATE part SET ` + set + ` WHERE job_id = ? AND number = ?`
		args = append(args, t.Part.Number)
	}
	_, err := tx.exec(ctx, query, args...)
	return err
}
