package jobsql

import (
	"cmp"
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

// first claims the task that comes first.
func (c claimRequest) first(ctx context.Context, tx executor, lock string) (*store.Task, error) {
	waiting, err := c.waiting(ctx, tx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(waiting, candidate.compare)
	for _, w := range waiting {
		claim := c.partOf
		if w.kind == selections {
			claim = c.selectionOf
		}
		task, err := claim(ctx, tx, w, lock)
		if task != nil || err != nil {
			return task, err
		}
		// Other transactions have locked the jobs of this client.
	}
	return nil, nil
}

// candidate is a client of which tasks of one kind wait.
type candidate struct {
	client client.Client
	kind   kind
	claims int64 // current ones of the client
	used   int64 // ms of work for the client in the last store.UseWindow, as share of its allowance

	// of the job that comes first
	turn    int64 // of its last part
	created fhir.Instant
	id      string
}

// kind is a kind of tasks. Among equal clients, a lower one comes first.
type kind int

const (
	smallExports kind = iota // parts of exports of up to store.SmallPart bytes
	selections
	parts // other parts
)

// compare orders candidates by their turns. A small export has had its turn with its selection, and
// goes before all others.
func (a candidate) compare(b candidate) int {
	if small := a.kind == smallExports; small != (b.kind == smallExports) {
		return cmp.Compare(a.kind, b.kind)
	}
	return cmp.Or(cmp.Compare(a.claims, b.claims), cmp.Compare(a.used, b.used), cmp.Compare(a.kind, b.kind),
		cmp.Compare(a.turn, b.turn), cmp.Compare(a.created, b.created), cmp.Compare(a.id, b.id))
}

// smallExport is the condition on a job j, which is writing, that its export is small.
var smallExport = fmt.Sprintf(`(SELECT sum(q.bytes) FROM part q WHERE q.job_id = j.id) <= %d`, store.SmallPart)

// waiting returns the candidates. Its statements read each live job once, and the time that was used
// for each client, whatever statistics of the tables the database has: without them, PostgreSQL
// repeats the computation of a joined subquery for each job.
func (c claimRequest) waiting(ctx context.Context, tx executor) ([]candidate, error) {
	claims, err := c.currentClaims(ctx, tx)
	if err != nil {
		return nil, err
	}
	selectionWaits, selectionArgs := c.selectionWaits()
	partWaits, partArgs := c.partWaits()
	since := firstMinute(c.now)
	rows, err := tx.query(ctx, `SELECT w.client, w.network, w.kind, w.turn, w.created, w.id,
			(SELECT CAST(coalesce(sum(ms), 0) AS bigint) FROM client_use WHERE client = w.client AND minute > ?),
			CASE WHEN w.network = '' THEN 0 ELSE (SELECT CAST(coalesce(sum(ms), 0) AS bigint) FROM client_use WHERE client = w.network AND minute > ?) END
		FROM (
			SELECT client, network, kind, turn, created, id, row_number() OVER (PARTITION BY client, network, kind ORDER BY turn, created, id) AS place FROM (
				SELECT j.client, j.network, CAST(? AS bigint) AS kind, 0 AS turn, j.created, j.id FROM job j WHERE `+selectionWaits+`
				UNION ALL SELECT j.client, j.network, CASE WHEN `+smallExport+` THEN CAST(? AS bigint) ELSE ? END, j.turn, j.created, j.id FROM job j
					WHERE j.state = ? AND (SELECT min(p.number) FROM part p WHERE p.job_id = j.id AND `+partWaits+`) IS NOT NULL
			) AS tasks
		) AS w WHERE w.place = 1`, slices.Concat([]any{since, since, selections}, selectionArgs, []any{smallExports, parts, store.Writing}, partArgs)...)
	if err != nil {
		return nil, err
	}
	return sqlrows.Collect(rows, func(rows *sql.Rows) (w candidate, err error) {
		var wider int64
		err = rows.Scan(&w.client.Name, &w.client.Wider, &w.kind, &w.turn, &w.created, &w.id, &w.used, &wider)
		w.used = max(w.used, wider/client.WiderFactor)
		w.claims = claims[w.client.Name]
		return w, err
	})
}

// currentClaims returns the number of current claims of each client that has any.
func (c claimRequest) currentClaims(ctx context.Context, tx executor) (map[string]int64, error) {
	rows, err := tx.query(ctx, `SELECT client, 1 FROM job WHERE state IN (?, ?) AND lease > ?
		UNION ALL SELECT client, (SELECT count(*) FROM part p WHERE p.job_id = j.id AND p.done = 0 AND p.lease > ?) FROM job j WHERE j.state = ?`,
		store.Accepted, store.Selecting, c.now, c.now, store.Writing)
	if err != nil {
		return nil, err
	}
	claims := map[string]int64{}
	err = sqlrows.Each(rows, func(rows *sql.Rows) error {
		var name string
		var n int64
		err := rows.Scan(&name, &n)
		claims[name] += n
		return err
	})
	return claims, err
}

// selectionWaits returns the condition on a job j whose selection could be claimed, with its arguments.
func (c claimRequest) selectionWaits() (where string, args []any) {
	where, args = `j.state IN (?, ?) AND j.lease <= ? AND j.retry <= ?`, []any{store.Accepted, store.Selecting, c.now, c.now}
	if c.within.Selected > 0 {
		where, args = where+` AND j.selected < ?`, append(args, c.within.Selected)
	}
	return where, args
}

// partWaits returns the condition on a part p, of a job that is writing, that could be claimed, with
// its arguments.
func (c claimRequest) partWaits() (where string, args []any) {
	where, args = `p.done = 0 AND p.lease <= ? AND p.retry <= ?`, []any{c.now, c.now}
	if c.within.PartBytes > 0 {
		where, args = where+` AND p.bytes <= ?`, append(args, c.within.PartBytes)
	}
	return where, args
}

// idleSince are the columns from which a task could have been claimed: it has no lease, or an
// old one.
const idleSince = `CASE WHEN %[1]s.lease > %[1]s.retry THEN %[1]s.lease ELSE %[1]s.retry END`

// selectionOf claims the first selection of a candidate whose job is not locked.
func (c claimRequest) selectionOf(ctx context.Context, tx executor, of candidate, lock string) (*store.Task, error) {
	where, args := c.selectionWaits()
	var id string
	var idle fhir.Instant
	err := tx.queryRow(ctx, `SELECT j.id, `+fmt.Sprintf(idleSince, "j")+` FROM job j WHERE j.client = ? AND j.network = ? AND `+where+`
		ORDER BY j.created, j.id LIMIT 1 `+lock, append([]any{of.client.Name, of.client.Wider}, args...)...).Scan(&id, &idle)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return c.claimSelection(ctx, tx, id, idle)
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

// partOf claims a part of the candidate's first job that is not locked: the largest one, so that the
// workers end the last parts at about the same time.
func (c claimRequest) partOf(ctx context.Context, tx executor, of candidate, lock string) (*store.Task, error) {
	where, args := c.partWaits()
	if of.kind == smallExports {
		where += ` AND ` + smallExport
	}
	var part store.Part
	var idle fhir.Instant
	err := tx.queryRow(ctx, `SELECT `+fmt.Sprintf(idleSince, "p")+`, `+partColumns+` FROM job j JOIN part p ON p.job_id = j.id
		WHERE j.client = ? AND j.network = ? AND j.state = ? AND `+where+`
		ORDER BY j.turn, j.created, j.id, p.bytes DESC, p.number LIMIT 1 `+lock, append([]any{of.client.Name, of.client.Wider, store.Writing}, args...)...).Scan(append([]any{&idle}, partFields(&part)...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return c.claimPart(ctx, tx, &part, idle)
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
	free    bool // its time is not counted: a small part
}

// checkClaim returns the current claim of a task, which must be that of t.
func checkClaim(ctx context.Context, tx executor, t *store.Task) (c claim, err error) {
	var worker string
	var fence int64
	c.free = t.Part != nil && t.Part.Bytes <= store.SmallPart
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
	if ms <= 0 || c.free {
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
		UNION ALL SELECT charged, lease FROM part WHERE job_id = ? AND done = 0 AND lease > 0 AND bytes > ?`, job.ID, job.ID, store.SmallPart)
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
