package jobsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"muster/internal/fhir"
	"muster/internal/store"
)

// Claim implements [store.Jobs].
func (j *Jobs) Claim(ctx context.Context, worker string, now fhir.Instant, lease int64) (*store.Task, error) {
	c := claimRequest{worker, now, lease}
	for {
		task, err := c.first(ctx, j)
		if errors.Is(err, errRaced) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("claiming work: %w", err)
		}
		return task, nil
	}
}

// errRaced tells that another worker was faster with the work that was picked.
var errRaced = errors.New("another worker claimed it")

// claimRequest is what a worker asks for.
type claimRequest struct {
	worker string
	now    fhir.Instant
	lease  int64
}

// first claims the first work that nobody is at, and if there is none, waits for
// what others have in hand at this instant.
func (c claimRequest) first(ctx context.Context, j *Jobs) (task *store.Task, err error) {
	picks := []string{j.dialect.SkipLocked, j.dialect.WaitLocked}
	for i, pick := range picks {
		if i > 0 && pick == picks[0] {
			break
		}
		err = j.change(ctx, "", func(tx executor) (err error) {
			if task, err = c.selection(ctx, tx, pick); task != nil || err != nil {
				return err
			}
			task, err = c.part(ctx, tx, pick)
			return err
		})
		if task != nil || err != nil {
			break
		}
	}
	return task, err
}

func (c claimRequest) selection(ctx context.Context, tx executor, pick string) (*store.Task, error) {
	task := store.Task{Worker: c.worker}
	var id string
	err := tx.queryRow(ctx, `UPDATE job SET worker = ?, fence = fence + 1, lease = ?, attempts = attempts + 1, found = 0
		WHERE id = (SELECT j.id FROM job j WHERE j.state IN (?, ?) AND j.lease <= ? AND j.retry <= ? ORDER BY j.created, j.id LIMIT 1 `+pick+`)
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

func (c claimRequest) part(ctx context.Context, tx executor, pick string) (*store.Task, error) {
	task := store.Task{Worker: c.worker, Part: &store.Part{}}
	err := tx.queryRow(ctx, `SELECT `+partColumns+` FROM part p JOIN job j ON j.id = p.job_id
		WHERE j.state = ? AND p.done = 0 AND p.lease <= ? AND p.retry <= ?
		ORDER BY j.turn, j.created, j.id, p.number LIMIT 1 `+pick, store.Writing, c.now, c.now).Scan(partFields(task.Part)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	id := task.Part.JobID
	// The part was read before its job was locked: it may be another's by now.
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

// checkClaim checks that the claim is the current one of its work, and returns the
// state of the job and how many resources the claim has noted.
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

// Renew implements [store.Jobs].
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

// Release implements [store.Jobs].
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

// EndClaims ends the leases of all claims at once and returns how many there were.
// It is for the one who holds [LockServe] and has not begun to work: whoever made
// these claims is dead, since two processes never serve one directory. The claims
// count as attempts, and the fences go on.
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
		return 0, fmt.Errorf("ending the claims of a server that is gone: %w", err)
	}
	return ended, nil
}

// updateClaim changes columns that a job and a part have in common.
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
