package jobsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"muster/internal/client"
	"muster/internal/fhir"
	"muster/internal/share"
	"muster/internal/store"
	"muster/internal/store/sqlrows"
)

// Claim implements [store.JobQueue].
func (j *Jobs) Claim(ctx context.Context, worker string, now fhir.Instant, lease int64, within store.Bounds) (*store.Task, error) {
	c := claimRequest{worker, now, lease, within}
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
	within store.Bounds
}

// next claims the first task of a job that no transaction has locked. If there is none, it
// waits for the locks of other transactions.
func (c claimRequest) next(ctx context.Context, j *Jobs) (task *store.Task, err error) {
	locks := []string{j.dialect.SkipLocked, j.dialect.WaitLocked}
	for i, lock := range locks {
		if i > 0 && lock == locks[0] {
			break
		}
		err = j.progress(ctx, "", func(tx executor) (err error) {
			task, err = c.first(ctx, tx, lock)
			return err
		})
		if task != nil || err != nil {
			break
		}
	}
	return task, err
}

// first claims the selection or the part whose client goes first.
func (c claimRequest) first(ctx context.Context, tx executor, lock string) (*store.Task, error) {
	id, selection, idle, err := c.nextSelection(ctx, tx, lock)
	if err != nil {
		return nil, err
	}
	next, part, partIdle, err := c.nextPart(ctx, tx, lock)
	switch {
	case err != nil:
		return nil, err
	case id != "" && (next == nil || !part.before(selection)):
		return c.claimSelection(ctx, tx, id, idle)
	case next != nil:
		return c.claimPart(ctx, tx, next, partIdle)
	}
	return nil, nil
}

// turn is what decides the order of clients.
type turn struct {
	claims int64 // current ones
	used   int64 // ms of work for the client in the last store.UseWindow
}

func (t turn) before(other turn) bool {
	return t.claims < other.claims || t.claims == other.claims && t.used < other.used
}

// clientTurns joins the turn of the client to a job j: b.claims, u.used of the client and w.used
// of the network around it. turnColumns reads it, and turnArgs are the arguments of clientTurns.
const (
	clientTurns = `
		LEFT JOIN (SELECT client, CAST(sum(claims) AS bigint) AS claims FROM (
			SELECT client, count(*) AS claims FROM job WHERE state IN (?, ?) AND lease > ? GROUP BY client
			UNION ALL SELECT o.client, count(*) FROM job o JOIN part q ON q.job_id = o.id WHERE o.state = ? AND q.done = 0 AND q.lease > ? GROUP BY o.client
		) AS held GROUP BY client) AS b ON b.client = j.client
		LEFT JOIN (` + clientUse + `) AS u ON u.client = j.client
		LEFT JOIN (` + clientUse + `) AS w ON w.client = j.network AND j.network <> ''`
	clientUse   = `SELECT client, CAST(sum(ms) AS bigint) AS used FROM client_use WHERE minute > ? GROUP BY client`
	turnColumns = `coalesce(b.claims, 0),
		CASE WHEN coalesce(w.used, 0) / ? > coalesce(u.used, 0) THEN w.used / ? ELSE coalesce(u.used, 0) END`
)

func (c claimRequest) turnArgs() []any {
	since := firstMinute(c.now)
	return []any{store.Accepted, store.Selecting, c.now, store.Writing, c.now, since, since}
}

// idleSince are the columns from which a task could have been claimed: it has no lease, or an
// old one.
const idleSince = `CASE WHEN %[1]s.lease > %[1]s.retry THEN %[1]s.lease ELSE %[1]s.retry END`

// nextSelection returns the job whose selection comes first, and since when it waits, unless
// the job has made progress later. The id is "" if there is none.
func (c claimRequest) nextSelection(ctx context.Context, tx executor, lock string) (id string, t turn, idle fhir.Instant, err error) {
	args := append([]any{client.WiderFactor, client.WiderFactor}, c.turnArgs()...)
	args = append(args, store.Accepted, store.Selecting, c.now, c.now)
	bound := ""
	if c.within.Selected > 0 {
		bound, args = ` AND j.selected < ?`, append(args, c.within.Selected)
	}
	err = tx.queryRow(ctx, `SELECT j.id, `+turnColumns+`, `+fmt.Sprintf(idleSince, "j")+` FROM job j`+clientTurns+`
		WHERE j.state IN (?, ?) AND j.lease <= ? AND j.retry <= ?`+bound+`
		ORDER BY 2, 3, j.created, j.id LIMIT 1 `+lock, args...).Scan(&id, &t.claims, &t.used, &idle)
	if errors.Is(err, sql.ErrNoRows) {
		return "", turn{}, 0, nil
	}
	return id, t, idle, err
}

// waited is the progress of a job of which a worker claims a task that waits since idle, with
// the arguments of waitedArgs.
const waited = `CASE WHEN progress < ? THEN progress + ? ELSE ? END`

func (c claimRequest) waitedArgs(idle fhir.Instant) []any { return []any{idle, c.now - idle, c.now} }

func (c claimRequest) claimSelection(ctx context.Context, tx executor, id string, idle fhir.Instant) (*store.Task, error) {
	task := store.Task{Worker: c.worker}
	err := tx.queryRow(ctx, `UPDATE job SET worker = ?, fence = fence + 1, lease = ?, charged = ?, attempts = attempts + 1, progress = `+waited+`
		WHERE id = ? RETURNING fence, attempts`,
		slices.Concat([]any{c.worker, c.now + fhir.Instant(c.lease), c.now}, c.waitedArgs(idle), []any{id})...).Scan(&task.Fence, &task.Attempt)
	if err != nil {
		return nil, err
	}
	task.Job, err = readJob(ctx, tx, id)
	return &task, err
}

// nextPart returns the part that comes first, nil if there is none, and since when it waits.
func (c claimRequest) nextPart(ctx context.Context, tx executor, lock string) (*store.Part, turn, fhir.Instant, error) {
	args := append([]any{client.WiderFactor, client.WiderFactor}, c.turnArgs()...)
	args = append(args, store.Writing, c.now, c.now)
	bound := ""
	if c.within.PartBytes > 0 {
		bound, args = ` AND p.bytes <= ?`, append(args, c.within.PartBytes)
	}
	var t turn
	var idle fhir.Instant
	var part store.Part
	err := tx.queryRow(ctx, `SELECT `+turnColumns+`, `+fmt.Sprintf(idleSince, "p")+`, `+partColumns+` FROM part p JOIN job j ON j.id = p.job_id`+clientTurns+`
		WHERE j.state = ? AND p.done = 0 AND p.lease <= ? AND p.retry <= ?`+bound+`
		ORDER BY 1, 2, j.turn, j.created, j.id, p.number LIMIT 1 `+lock, args...).Scan(append([]any{&t.claims, &t.used, &idle}, partFields(&part)...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, turn{}, 0, nil
	}
	return &part, t, idle, err
}

func (c claimRequest) claimPart(ctx context.Context, tx executor, part *store.Part, idle fhir.Instant) (*store.Task, error) {
	task := store.Task{Worker: c.worker, Part: part}
	id := part.JobID
	// The part was read before its job was locked: another worker may have claimed it.
	err := tx.queryRow(ctx, `UPDATE part SET worker = ?, fence = fence + 1, lease = ?, charged = ?, attempts = attempts + 1, found = 0
		WHERE job_id = ? AND number = ? AND done = 0 AND lease <= ? AND retry <= ? RETURNING fence, attempts`,
		c.worker, c.now+fhir.Instant(c.lease), c.now, id, part.Number, c.now, c.now).Scan(&task.Fence, &task.Attempt)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errRaced
	}
	if err != nil {
		return nil, err
	}
	if _, err := tx.exec(ctx, `UPDATE job SET turn = (SELECT max(turn) + 1 FROM job), progress = `+waited+` WHERE id = ?`, append(c.waitedArgs(idle), id)...); err != nil {
		return nil, err
	}
	task.Job, err = readJob(ctx, tx, id)
	return &task, err
}

// claim is the current claim of a task.
type claim struct {
	client  client.Client
	state   store.State  // of the job
	found   int64        // resources that it has recorded
	charged fhir.Instant // until when its time is counted for the client
	lease   fhir.Instant
}

// checkClaim returns the current claim of a task, which must be that of t.
func checkClaim(ctx context.Context, tx executor, t *store.Task) (c claim, err error) {
	var worker string
	var fence int64
	query, args := `SELECT client, network, state, found, charged, lease, worker, fence FROM job WHERE id = ?`, []any{t.Job.ID}
	if t.Part != nil {
		query = `SELECT j.client, j.network, j.state, coalesce(p.found, 0), coalesce(p.charged, 0), coalesce(p.lease, 0), coalesce(p.worker, ''), coalesce(p.fence, 0)
			FROM job j LEFT JOIN part p ON p.job_id = j.id AND p.number = ? AND p.done = 0 WHERE j.id = ?`
		args = []any{t.Part.Number, t.Job.ID}
	}
	err = tx.queryRow(ctx, query, args...).Scan(&c.client.Name, &c.client.Wider, &c.state, &c.found, &c.charged, &c.lease, &worker, &fence)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return claim{}, store.ErrLeaseLost
	case err != nil:
		return claim{}, err
	case c.state == store.Cancelled || c.state == store.Expired:
		return claim{}, store.ErrCancelled
	case !c.state.Live() || (t.Part != nil) != (c.state == store.Writing) || worker != t.Worker || fence != t.Fence:
		return claim{}, store.ErrLeaseLost
	}
	return c, nil
}

// charge counts the time since the last charge for the client, up to the end of the lease. Time in
// which the task waited for others does not count: otherwise a client would go last because others
// keep the server busy.
func (c claim) charge(ctx context.Context, tx executor, now fhir.Instant) error {
	ms := min(now, c.lease) - c.charged - fhir.Instant(share.TakeWaited(ctx).Milliseconds())
	if ms <= 0 {
		return nil
	}
	for _, a := range c.client.Allowances() {
		if _, err := tx.exec(ctx, `INSERT INTO client_use (client, minute, ms) VALUES (?, ?, ?)
			ON CONFLICT (client, minute) DO UPDATE SET ms = client_use.ms + excluded.ms`, a.Name, minuteOf(now), ms); err != nil {
			return fmt.Errorf("count the work for a client: %w", err)
		}
	}
	return nil
}

// chargeOpenClaims charges all current claims of a job that ends.
func chargeOpenClaims(ctx context.Context, tx executor, job store.Job, now fhir.Instant) error {
	rows, err := tx.query(ctx, `SELECT charged, lease FROM job WHERE id = ? AND lease > 0
		UNION ALL SELECT charged, lease FROM part WHERE job_id = ? AND done = 0 AND lease > 0`, job.ID, job.ID)
	if err != nil {
		return err
	}
	open, err := sqlrows.Collect(rows, func(rows *sql.Rows) (c claim, err error) { return c, rows.Scan(&c.charged, &c.lease) })
	if err != nil {
		return err
	}
	for _, c := range open {
		c.client = job.Client
		if err := c.charge(ctx, tx, now); err != nil {
			return err
		}
	}
	return nil
}

// minuteOf returns the start of the minute of a time. Work is counted by minute.
func minuteOf(at fhir.Instant) fhir.Instant { return at - at%fhir.Instant(time.Minute.Milliseconds()) }

// firstMinute returns the minute after which work still counts.
func firstMinute(now fhir.Instant) fhir.Instant {
	return minuteOf(now) - fhir.Instant(store.UseWindow.Milliseconds())
}

// Renew implements [store.JobQueue].
func (j *Jobs) Renew(ctx context.Context, t *store.Task, now fhir.Instant, lease int64, found int64) error {
	return j.progress(ctx, t.Job.ID, func(tx executor) error {
		c, err := checkClaim(ctx, tx, t)
		if err != nil {
			return err
		}
		if t.Part == nil {
			found = max(found, c.found) // an earlier slice may have found more
		}
		if err := c.charge(ctx, tx, now); err != nil {
			return err
		}
		if err := updateClaim(ctx, tx, t, `lease = ?, charged = ?, found = ?`, now+fhir.Instant(lease), now, found); err != nil {
			return err
		}
		if found > c.found {
			_, err = tx.exec(ctx, `UPDATE job SET progress = ? WHERE id = ?`, now, t.Job.ID)
		}
		return err
	})
}

// giveUp changes a claim that ends before its task is done. It does nothing if the claim has ended
// already.
func (j *Jobs) giveUp(ctx context.Context, t *store.Task, change func(tx executor, c claim) error) error {
	return j.progress(ctx, t.Job.ID, func(tx executor) error {
		c, err := checkClaim(ctx, tx, t)
		if errors.Is(err, store.ErrLeaseLost) || errors.Is(err, store.ErrCancelled) {
			return nil
		}
		if err != nil {
			return err
		}
		return change(tx, c)
	})
}

// EndSlice implements [store.JobQueue].
func (j *Jobs) EndSlice(ctx context.Context, t *store.Task, ran int64, now fhir.Instant) error {
	return j.giveUp(ctx, t, func(tx executor, c claim) error {
		if err := c.charge(ctx, tx, now); err != nil {
			return err
		}
		_, err := tx.exec(ctx, `UPDATE job SET worker = '', lease = 0, retry = 0, time = 0, attempts = attempts - 1, selected = selected + ?, progress = ?
			WHERE id = ?`, ran, now, t.Job.ID)
		return err
	})
}

// Release implements [store.JobQueue].
func (j *Jobs) Release(ctx context.Context, t *store.Task, retry fhir.Instant, failed bool) error {
	return j.giveUp(ctx, t, func(tx executor, c claim) error {
		counted := 1
		if failed {
			counted = 0
		}
		found := int64(0)
		if t.Part == nil {
			found = c.found
		}
		return updateClaim(ctx, tx, t, `worker = '', lease = 0, found = ?, retry = ?, attempts = attempts - ?`, found, retry, counted)
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
