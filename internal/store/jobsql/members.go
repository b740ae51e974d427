package jobsql

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"muster/internal/damage"
	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/sqlrows"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
)

// lockMembers is the name that a transaction locks in which members are stored, so that two of them
// do not use the same room. No client has it.
const lockMembers = "members"

// StoreMembers implements [store.MembersStore].
func (j *Jobs) StoreMembers(ctx context.Context, t *store.Task, filters string, members *roaring64.Bitmap, limit int64, now fhir.Instant) error {
	err := j.progress(ctx, t.Job.ID, func(tx executor) error {
		if _, err := checkClaim(ctx, tx, t); err != nil {
			return err
		}
		// An earlier attempt may have stored members as of another time.
		if _, err := tx.exec(ctx, `DELETE FROM members WHERE job_id = ?`, t.Job.ID); err != nil {
			return err
		}
		told := store.MembershipUnknown
		if members != nil {
			job, err := readJob(ctx, tx, t.Job.ID)
			if err != nil {
				return err
			}
			key := store.MembersKey{Owner: job.Owner, Client: job.Client.Name, Filters: filters, Time: job.Time}
			kept, err := insertMembers(ctx, tx, job.ID, key, members, limit, now)
			if err != nil {
				return err
			}
			if told = store.MembershipNotKept; kept {
				told = store.MembershipKept
			}
		}
		_, err := tx.exec(ctx, `UPDATE job SET membership = ? WHERE id = ?`, told, t.Job.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("keep what job %s holds: %w", t.Job.ID, err)
	}
	return nil
}

// insertMembers keeps a set if it fits.
func insertMembers(ctx context.Context, tx executor, job string, key store.MembersKey, members *roaring64.Bitmap, limit int64, now fhir.Instant) (kept bool, err error) {
	packed, err := encodeMembers(key, members)
	if err != nil {
		return false, err
	}
	size := max(int64(len(packed)), store.LeastMembers)
	if size > limit/store.MembersShare {
		return false, nil
	}
	if tx.dialect.LockClient != "" {
		if _, err := tx.exec(ctx, tx.dialect.LockClient, lockMembers); err != nil {
			return false, err
		}
	}
	if err := makeRoom(ctx, tx, limit/store.MembersShare-size, ` AND owner = ? AND client = ?`, key.Owner, key.Client); err != nil {
		return false, err
	}
	if err := makeRoom(ctx, tx, limit-size, ``); err != nil {
		return false, err
	}
	_, err = tx.exec(ctx, `INSERT INTO members (time, owner, client, filters, job_id, used, size, keys) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		key.Time, key.Owner, key.Client, key.Filters, job, now, size, packed)
	return true, err
}

// makeRoom forgets the sets that were used least recently, among those that meet a condition, until
// these take at most limit bytes.
func makeRoom(ctx context.Context, tx executor, limit int64, where string, args ...any) error {
	var size int64
	if err := tx.queryRow(ctx, `SELECT CAST(coalesce(sum(size), 0) AS bigint) FROM members WHERE time > 0`+where, args...).Scan(&size); err != nil {
		return err
	}
	if size <= limit {
		return nil
	}
	rows, err := tx.query(ctx, `SELECT time, size FROM members WHERE time > 0`+where+` ORDER BY used, time`, args...)
	if err != nil {
		return err
	}
	type set struct {
		time fhir.Instant
		size int64
	}
	oldest, err := sqlrows.Collect(rows, func(rows *sql.Rows) (s set, err error) { return s, rows.Scan(&s.time, &s.size) })
	if err != nil {
		return err
	}
	for _, s := range oldest {
		if size <= limit {
			break
		}
		if _, err := tx.exec(ctx, `DELETE FROM members WHERE time = ?`, s.time); err != nil {
			return err
		}
		size -= s.size
	}
	return nil
}

// settleMembers decides what becomes of the members of a job that goes to a state that is not live:
// those of a Complete job are found from now on. A job that was Complete has none any more.
func settleMembers(ctx context.Context, tx executor, id string, next store.State, now fhir.Instant) error {
	if next == store.Complete {
		_, err := tx.exec(ctx, `UPDATE members SET job_id = '', used = ? WHERE job_id = ?`, now, id)
		return err
	}
	_, err := tx.exec(ctx, `DELETE FROM members WHERE job_id = ?`, id)
	return err
}

// Members implements [store.MembersStore].
func (j *Jobs) Members(ctx context.Context, key store.MembersKey, now fhir.Instant) (members *roaring64.Bitmap, err error) {
	err = j.progress(ctx, "", func(tx executor) error {
		var packed []byte
		err := tx.queryRow(ctx, `UPDATE members SET used = ? WHERE time = ? AND time > 0 AND owner = ? AND client = ? AND filters = ? AND job_id = '' RETURNING keys`,
			now, key.Time, key.Owner, key.Client, key.Filters).Scan(&packed)
		if errors.Is(err, sql.ErrNoRows) {
			return store.ErrNotFound
		}
		if err != nil {
			return err
		}
		members, err = decodeMembers(key, packed)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read what an export of %v held: %w", key.Time, err)
	}
	return members, nil
}

// MembersKept implements [store.MembersStore].
func (j *Jobs) MembersKept(ctx context.Context) (sets, bytes int64, err error) {
	err = j.reader().queryRow(ctx, `SELECT count(*), CAST(coalesce(sum(size), 0) AS bigint) FROM members WHERE time > 0`).Scan(&sets, &bytes)
	if err != nil {
		return 0, 0, fmt.Errorf("count what exports held: %w", j.explain(err))
	}
	return sets, bytes, nil
}

// sealedMembers begins a stored set of members, before a checksum.
const sealedMembers = "members1"

func membersSeal(key store.MembersKey, bitmap []byte) damage.Sum {
	return sealOf(strings.Join([]string{key.Owner, key.Client, key.Filters}, "\n"), 0, key.Time, bitmap)
}

// encodeMembers returns the stored form of a set of members.
func encodeMembers(key store.MembersKey, members *roaring64.Bitmap) ([]byte, error) {
	members.RunOptimize()
	bitmap, err := members.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return append(membersSeal(key, bitmap).Append([]byte(sealedMembers)), bitmap...), nil
}

// decodeMembers returns a stored set of members. It returns a [damage.Error] if it, or its key, was
// changed.
func decodeMembers(key store.MembersKey, stored []byte) (*roaring64.Bitmap, error) {
	const head = len(sealedMembers) + damage.Size
	members := roaring64.New()
	if len(stored) >= head && bytes.HasPrefix(stored, []byte(sealedMembers)) &&
		membersSeal(key, stored[head:]) == damage.Decode(stored[len(sealedMembers):]) && members.UnmarshalBinary(stored[head:]) == nil {
		return members, nil
	}
	return nil, damage.New(damage.Selection, "what an export of %v held does not match its checksum: check the disk; the client has to start again with a full export", key.Time)
}
