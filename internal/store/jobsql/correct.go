package jobsql

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/sqlrows"
)

// The conditions of rows with times that lie too far ahead, with the arguments of a correction.
const (
	workAhead     = `(lease > ? OR retry > ?)`
	liveAhead     = `state IN (?, ?, ?) AND (lease > ? OR retry > ? OR progress > ?)`
	endedAhead    = `state IN (?, ?, ?) AND finished > ?`
	expiredAhead  = `state = ? AND expires > ?`
	shortenedWork = `lease = CASE WHEN lease > ? THEN ? ELSE lease END, retry = CASE WHEN retry > ? THEN ? ELSE retry END`
)

// correction corrects times that lie after latest.
type correction struct{ now, latest fhir.Instant }

func (c correction) work() []any { return []any{c.latest, c.latest} }

func (c correction) live() []any {
	return []any{store.Accepted, store.Selecting, store.Writing, c.latest, c.latest, c.latest}
}

func (c correction) ended() []any {
	return []any{store.Complete, store.Failed, store.Cancelled, c.latest}
}

func (c correction) expired() []any { return []any{store.Expired, c.latest} }

func (c correction) shortened() []any { return []any{c.latest, c.latest, c.latest, c.latest} }

// CorrectTimes implements [store.JobRetention]. It writes only if there is something to correct.
func (j *Jobs) CorrectTimes(ctx context.Context, now fhir.Instant, ahead int64) (corrected int, err error) {
	c := correction{now, now + fhir.Instant(ahead)}
	err = j.reader().queryRow(ctx, `SELECT (SELECT count(*) FROM job WHERE `+liveAhead+` OR `+endedAhead+` OR `+expiredAhead+`)
		+ (SELECT count(*) FROM part WHERE done = 0 AND `+workAhead+`)`,
		slices.Concat(c.live(), c.ended(), c.expired(), c.work())...).Scan(&corrected)
	if err == nil && corrected > 0 {
		err = j.change(ctx, "", func(tx executor) error { return c.write(ctx, tx) })
	}
	if err != nil {
		return 0, fmt.Errorf("correct the times of jobs: %w", j.explain(err))
	}
	return corrected, nil
}

// write locks all jobs, in their order, before it changes them and their parts.
func (c correction) write(ctx context.Context, tx executor) error {
	rows, err := tx.query(ctx, `SELECT j.id FROM job j ORDER BY j.id `+tx.dialect.WaitLocked)
	if err != nil {
		return err
	}
	if _, err := sqlrows.Collect(rows, func(rows *sql.Rows) (id string, err error) { return id, rows.Scan(&id) }); err != nil {
		return err
	}
	for _, s := range []struct {
		text string
		args []any
	}{
		{`UPDATE job SET ` + shortenedWork + `, progress = CASE WHEN progress > ? THEN ? ELSE progress END WHERE ` + liveAhead,
			slices.Concat(c.shortened(), []any{c.latest, c.now}, c.live())},
		{`UPDATE part SET ` + shortenedWork + ` WHERE done = 0 AND ` + workAhead, slices.Concat(c.shortened(), c.work())},
		{`UPDATE job SET expires = expires - finished + ?, finished = ? WHERE ` + endedAhead, slices.Concat([]any{c.now, c.now}, c.ended())},
		{`UPDATE job SET expires = ? WHERE ` + expiredAhead, slices.Concat([]any{c.now}, c.expired())},
	} {
		if _, err := tx.exec(ctx, s.text, s.args...); err != nil {
			return err
		}
	}
	return nil
}
