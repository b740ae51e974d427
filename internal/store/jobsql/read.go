package jobsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/store/sqlrows"
)

// jobColumns are the columns of a job in the order of jobFields. The number of found
// resources is the sum over the parts; before there are parts, it is that of the selection.
//
// Either the selection of a job is claimed or parts of it are, so the sum of their times is
// the last one.
const jobColumns = `j.id, j.owner, j.client, j.network, j.state, j.request, j.created, j.time, j.progress,
	CASE WHEN j.lease > j.retry THEN j.lease ELSE j.retry END
		+ (SELECT coalesce(max(CASE WHEN lease > retry THEN lease ELSE retry END), 0) FROM part WHERE job_id = j.id AND done = 0),
	j.finished, j.expires, j.total, j.selected,
	j.found + (SELECT CAST(coalesce(sum(found), 0) AS bigint) FROM part WHERE job_id = j.id), j.started, j.membership, j.reason, j.polled, j.next_poll`

func jobFields(job *store.Job) []any {
	return []any{&job.ID, &job.Owner, &job.Client.Name, &job.Client.Wider, &job.State, &job.Request, &job.Created, &job.Time, &job.Progress,
		&job.Lease, &job.Finished, &job.Expires, &job.Total, &job.Selected, &job.Found, &job.Started, &job.Membership, &job.Reason, &job.Polled, &job.NextPoll}
}

const partColumns = `p.job_id, p.number, p.kind, p.file, p.type, p.first, p.last, p.count, p.bytes, p.done, p.object,
	p.written, p.written_bytes, p.gzip_bytes, p.sha256, p.fragments`

func partFields(part *store.Part) []any {
	return []any{&part.JobID, &part.Number, &part.Kind, &part.File, &part.Type, &part.First, &part.Last, &part.Count, &part.Bytes, &part.Done, &part.Object,
		&part.Stored.Count, &part.Stored.Bytes, &part.Stored.GzipBytes, &part.Stored.SHA256, &part.Stored.Index}
}

// readJob returns the job, or [store.ErrNotFound].
func readJob(ctx context.Context, q executor, id string) (store.Job, error) {
	var job store.Job
	err := q.queryRow(ctx, `SELECT `+jobColumns+` FROM job j WHERE j.id = ?`, id).Scan(jobFields(&job)...)
	if errors.Is(err, sql.ErrNoRows) {
		return store.Job{}, store.ErrNotFound
	}
	if err != nil {
		return store.Job{}, fmt.Errorf("read job %s: %w", id, err)
	}
	return job, nil
}

// Job implements [store.JobReader].
func (j *Jobs) Job(ctx context.Context, id string) (store.Job, error) {
	job, err := readJob(ctx, j.reader(), id)
	return job, j.explain(err)
}

// Parts implements [store.JobReader].
func (j *Jobs) Parts(ctx context.Context, id string) ([]store.Part, error) {
	parts, err := readParts(ctx, j.reader(), id)
	return parts, j.explain(err)
}

func readParts(ctx context.Context, q executor, id string) ([]store.Part, error) {
	rows, err := q.query(ctx, `SELECT `+partColumns+` FROM part p WHERE p.job_id = ? ORDER BY p.number`, id)
	if err != nil {
		return nil, fmt.Errorf("read parts of job %s: %w", id, err)
	}
	parts, err := sqlrows.Collect(rows, func(rows *sql.Rows) (part store.Part, err error) { return part, rows.Scan(partFields(&part)...) })
	if err != nil {
		return nil, fmt.Errorf("read parts of job %s: %w", id, err)
	}
	return parts, nil
}

// PartByFile implements [store.JobReader].
func (j *Jobs) PartByFile(ctx context.Context, file string) (store.Part, store.Job, error) {
	var part store.Part
	var job store.Job
	err := j.reader().queryRow(ctx, `SELECT `+partColumns+`, `+jobColumns+` FROM part p JOIN job j ON j.id = p.job_id
		WHERE p.file = ? AND j.state = ?`, file, store.Complete).Scan(append(partFields(&part), jobFields(&job)...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return store.Part{}, store.Job{}, store.ErrNotFound
	}
	if err != nil {
		return store.Part{}, store.Job{}, fmt.Errorf("read part of file %s: %w", file, j.explain(err))
	}
	return part, job, nil
}

// Selection implements [store.JobReader].
func (j *Jobs) Selection(ctx context.Context, id string, t fhir.Type) (store.Selection, error) {
	var packed []byte
	var at fhir.Instant
	err := j.reader().queryRow(ctx, `SELECT s.keys, j.time FROM selection s JOIN job j ON j.id = s.job_id WHERE s.job_id = ? AND s.type = ?`, id, t).Scan(&packed, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return store.Selection{}, fmt.Errorf("the selection of %s of job %s: %w", t, id, store.ErrNotFound)
	}
	if err != nil {
		return store.Selection{}, fmt.Errorf("read selection of %s of job %s: %w", t, id, err)
	}
	keys, err := decodeSelection(id, t, at, packed)
	if err != nil {
		return store.Selection{}, fmt.Errorf("read selection of %s of job %s: %w", t, id, err)
	}
	return store.Selection{Type: t, Keys: keys}, nil
}

// PartContent implements [store.JobReader].
func (j *Jobs) PartContent(ctx context.Context, id string, number int) ([]byte, error) {
	var packed []byte
	var at fhir.Instant
	err := j.reader().queryRow(ctx, `SELECT c.content, j.time FROM part_content c JOIN job j ON j.id = c.job_id WHERE c.job_id = ? AND c.number = ?`, id, number).Scan(&packed, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("the content of part %d of job %s: %w", number, id, store.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read content of part %d of job %s: %w", number, id, err)
	}
	return decodeContent(id, number, at, packed)
}

// Live implements [store.JobReader].
func (j *Jobs) Live(ctx context.Context) ([]store.Job, error) {
	rows, err := j.reader().query(ctx, `SELECT `+jobColumns+` FROM job j
		WHERE j.state IN (?, ?, ?) ORDER BY j.created, j.id`, store.Accepted, store.Selecting, store.Writing)
	if err != nil {
		return nil, fmt.Errorf("list live jobs: %w", err)
	}
	live, err := sqlrows.Collect(rows, func(rows *sql.Rows) (job store.Job, err error) { return job, rows.Scan(jobFields(&job)...) })
	if err != nil {
		return nil, fmt.Errorf("list live jobs: %w", err)
	}
	return live, nil
}

// Owned implements [store.JobReader].
func (j *Jobs) Owned(ctx context.Context, owner string) ([]store.Job, error) {
	rows, err := j.reader().query(ctx, `SELECT `+jobColumns+` FROM job j WHERE j.owner = ? AND j.state NOT IN (?, ?) ORDER BY j.created, j.id`, owner, store.Cancelled, store.Expired)
	var jobs []store.Job
	if err == nil {
		jobs, err = sqlrows.Collect(rows, func(rows *sql.Rows) (job store.Job, err error) { return job, rows.Scan(jobFields(&job)...) })
	}
	if err != nil {
		return nil, fmt.Errorf("list the jobs of %s: %w", owner, j.explain(err))
	}
	return jobs, nil
}

// Stalled implements [store.JobQueue].
func (j *Jobs) Stalled(ctx context.Context, now fhir.Instant, after int64) ([]store.Job, error) {
	live, err := j.Live(ctx)
	return slices.DeleteFunc(live, func(job store.Job) bool {
		return min(now, job.Lease)-job.Progress <= fhir.Instant(after)
	}), err
}

// Objects implements [store.JobRetention]. It is one statement, so it reads one snapshot.
func (j *Jobs) Objects(ctx context.Context) (objects, jobs map[string]bool, err error) {
	objects, jobs = map[string]bool{}, map[string]bool{}
	rows, err := j.reader().query(ctx, `SELECT 1, object, 0 FROM part WHERE object <> ''
		UNION ALL SELECT 0, id, CASE WHEN state IN (?, ?, ?) THEN 1 ELSE 0 END FROM job WHERE id <> ''`, store.Accepted, store.Selecting, store.Writing)
	if err != nil {
		return nil, nil, fmt.Errorf("list objects of jobs: %w", err)
	}
	_, err = sqlrows.Collect(rows, func(rows *sql.Rows) (struct{}, error) {
		var isObject, live bool
		var name string
		if err := rows.Scan(&isObject, &name, &live); err != nil {
			return struct{}{}, err
		}
		if isObject {
			objects[name] = true
		} else {
			jobs[name] = live
		}
		return struct{}{}, nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list objects of jobs: %w", err)
	}
	return objects, jobs, nil
}
