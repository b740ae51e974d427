package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"muster/internal/auth"
	"muster/internal/client"
	"muster/internal/fhir"
	"muster/internal/store"
	"muster/internal/testkit/golden"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
)

// The ids of the exports of storeJobs.
const (
	writingJob  = "f2b1a7a0-52c1-4d65-8e9e-0d3a8f5a1111"
	completeJob = "f2b1a7a0-52c1-4d65-8e9e-0d3a8f5a2222"
	failedJob   = "f2b1a7a0-52c1-4d65-8e9e-0d3a8f5a3333"
	waitingJob  = "f2b1a7a0-52c1-4d65-8e9e-0d3a8f5a4444"
	expiredJob  = "f2b1a7a0-52c1-4d65-8e9e-0d3a8f5a5555"
)

// storeJobs stores an export in each state, of several clients.
func storeJobs(t *testing.T, d directory) {
	t.Helper()
	now := fhir.InstantOf(d.Now())
	const minute = 60_000
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	snapshot, err := d.OpenSnapshot(t.Context(), func(context.Context, fhir.Instant) error { return nil }) // draws a time
	must(err)
	must(snapshot.Close())
	create := func(id, owner, address string, age fhir.Instant) {
		t.Helper()
		counted := client.Client{} // of an older version
		if from, err := netip.ParseAddr(address); err == nil {
			counted = client.Of(auth.Principal{ID: owner}, from)
		}
		must(d.CreateJob(t.Context(), store.Job{
			ID: id, Owner: owner, Client: counted, Created: now - age, Request: []byte(`{"filters":["Practitioner?family=Smith&active=true"],"since":1800000000000}`),
		}, 0))
	}
	claim := func(id string) *store.Task {
		t.Helper()
		task, err := d.Claim(t.Context(), "worker", now, minute, store.Bounds{})
		must(err)
		if task == nil || task.Job.ID != id {
			t.Fatalf("claimed %+v, want a task of %s", task, id)
		}
		return task
	}
	write := func(id string, finished int) {
		t.Helper()
		task := claim(id)
		must(d.BeginSelecting(t.Context(), task, now-minute, now))
		first := store.Key(fhir.Practitioner, 1)
		selected := store.Selection{Type: fhir.Practitioner, Keys: roaring64.BitmapOf(uint64(first), uint64(first+1), uint64(first+2))}
		must(d.StoreSelection(t.Context(), task, []store.Selection{selected}, []store.Part{
			{Number: 1, File: id + "-1", Type: fhir.Practitioner, First: first, Last: first + 1, Count: 2, Bytes: 3000},
			{Number: 2, File: id + "-2", Type: fhir.Practitioner, First: first + 2, Last: first + 2, Count: 1, Bytes: 900},
		}, now, now+minute))
		for _, part := range []store.Stored{{Count: 2, Bytes: 3000, GzipBytes: 1536}, {Count: 1, Bytes: 900, GzipBytes: 100}}[:finished] {
			task := claim(id)
			_, err := d.FinishPart(t.Context(), task, id+"/"+string(rune('0'+task.Part.Number))+"-1.ndjson.gz", part, now, now+60*minute)
			must(err)
		}
	}
	create(expiredJob, "anna", "", 60*minute)
	must(d.Fail(t.Context(), expiredJob, "gone", now-2*minute, now-minute))
	create(completeJob, auth.Anonymous.ID, "192.0.2.7", 5*minute)
	write(completeJob, 2)
	create(failedJob, "berta", "192.0.2.8", 4*minute)
	must(d.Fail(t.Context(), failedJob, "The disk of the server is full.", now, now+60*minute))
	create(writingJob, auth.Anonymous.ID, "2001:db8:1:2::3", 3*minute)
	write(writingJob, 1)
	create(waitingJob, "berta", "192.0.2.8", 2*minute)
}

var (
	anyTime   = regexp.MustCompile(`20\d\d-\d\d-\d\dT[0-9:.]+Z`)
	anyAge    = regexp.MustCompile(` \d+[hm](\d+[ms])* `)
	anySpaces = regexp.MustCompile(` {2,}`)
)

// TestJobs lists, shows and cancels exports on both databases, and compares the output with
// testdata/jobs.golden, in which times and widths of columns are replaced.
func TestJobs(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(data string) (directory, string)) {
		dir := t.TempDir()
		d, database := open(dir)
		storeJobs(t, d)
		file := filepath.Join(dir, "files", writingJob, "1-1.ndjson.gz")
		writeFile(t, file)
		writeFile(t, dir, "files", completeJob, "1-1.ndjson.gz")
		var all strings.Builder
		muster := func(want int, args ...string) string {
			t.Helper()
			var stdout, stderr bytes.Buffer
			where := []string{"jobs", "--data", dir}
			if database != "" {
				where = append(where, "--database", database)
			}
			code := run(app{ctx: t.Context(), stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr}, append(where, args...))
			if code != want {
				t.Errorf("jobs %q: exit code %d, want %d: %s", args, code, want, stderr.String())
			}
			text := anyAge.ReplaceAllString(anyTime.ReplaceAllString(stdout.String()+stderr.String(), "TIME"), " AGE ")
			command, _, _ := strings.Cut(text, " list the exports with: ") // which names the directory
			all.WriteString("$ muster jobs " + strings.Join(args, " ") + "\n" + strings.TrimSuffix(anySpaces.ReplaceAllString(command, "  "), "\n") + "\n\n")
			return text
		}
		muster(exitOK)
		muster(exitOK, "--json")
		muster(exitOK, writingJob)
		muster(exitOK, completeJob, "--json")
		muster(exitOK, failedJob)
		muster(exitOK, writingJob, "--cancel")
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the file of the cancelled export: %v", err)
		}
		if _, err := os.Stat(filepath.Join(dir, "files", completeJob, "1-1.ndjson.gz")); err != nil {
			t.Errorf("the file of another export: %v", err)
		}
		muster(exitFailed, writingJob, "--cancel")
		muster(exitFailed, expiredJob, "--cancel")
		muster(exitOK, waitingJob, "--cancel", "--json")
		muster(exitFailed, "f2b1a7a0")
		muster(exitFailed, "f2b1a7a0", "--cancel")
		muster(exitUsage, "--cancel")
		muster(exitOK)
		golden.Check(t, filepath.Join("testdata", "jobs.golden"), all.String())
	})
}

// TestJobsOfCopy checks that an export is not cancelled if the files folder belongs to another
// directory, which may have an export of the same id.
func TestJobsOfCopy(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(data string) (directory, string)) {
		dir := t.TempDir()
		one, first := open(dir)
		if err := mustClaim(t, dir, first, one).Close(); err != nil {
			t.Fatal(err)
		}
		other := t.TempDir()
		d, database := open(other)
		storeJobs(t, d)
		if database == "" { // its folder of files becomes that of the first
			if err := os.Symlink(filepath.Join(dir, "files"), filepath.Join(other, "files")); err != nil {
				t.Skip(err)
			}
		} else {
			other = dir
		}
		file := filepath.Join(dir, "files", completeJob, "1-1.ndjson.gz")
		writeFile(t, file)
		args := []string{"jobs", completeJob, "--cancel", "--data", other}
		if database != "" {
			args = append(args, "--database", database)
		}
		var stderr bytes.Buffer
		code := run(app{ctx: t.Context(), stdin: strings.NewReader(""), stdout: &stderr, stderr: &stderr}, args)
		if code != exitFailed || !strings.Contains(stderr.String(), "nothing was cancelled") {
			t.Errorf("exit code %d: %s", code, stderr.String())
		}
		if _, err := os.Stat(file); err != nil {
			t.Errorf("the file of the other directory: %v", err)
		}
		if job, err := d.Job(t.Context(), completeJob); err != nil || job.State != store.Complete {
			t.Errorf("the export is %s, %v", job.State, err)
		}
	})
}

// TestNoJobs checks the output for a directory without exports.
func TestNoJobs(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(data string) (directory, string)) {
		dir := t.TempDir()
		_, database := open(dir)
		args := []string{"jobs", "--data", dir}
		if database != "" {
			args = []string{"jobs", "--database", database}
		}
		for _, c := range []struct {
			args []string
			want string
		}{{args, "no exports\n"}, {append(args, "--json"), ""}} {
			var stdout bytes.Buffer
			if code := run(app{ctx: t.Context(), stdin: strings.NewReader(""), stdout: &stdout, stderr: &stdout}, c.args); code != exitOK || stdout.String() != c.want {
				t.Errorf("%q: exit code %d, %q", c.args, code, stdout.String())
			}
		}
	})
}
