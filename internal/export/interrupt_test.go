package export

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"muster/internal/blob"
	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/index"
	"muster/internal/store"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/google/go-cmp/cmp"
)

var errInterrupted = errors.New("interrupted by the test")

// points are all failpoints of an export.
var points = []string{"export.accepted", "export.selecting", "export.selected", "export.writing",
	"export.part.page", "export.part.written", "export.part.committed", "export.finished"}

// TestInterruptedExport interrupts an export once at each point, by an error, a shutdown
// or a crash. The resumed export has the files of an undisturbed one (D7).
func TestInterruptedExport(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: interrupts an export after each of its steps")
	}
	onBothDatabases(t, testInterruptedExport)
}

func testInterruptedExport(t *testing.T, onPostgres bool) {
	undisturbed := newFixtureOn(t, onPostgres, nil)
	undisturbed.fillDelta()
	start(t, undisturbed.Service)
	id, err := undisturbed.KickOff(t.Context(), undisturbed.request(new(firstSince), "Location", "Practitioner"))
	if err != nil {
		t.Fatal(err)
	}
	undisturbed.wait(undisturbed.Service, id)
	want := undisturbed.withoutTime(id)

	for n, point := range points {
		kinds := []string{"error", "shutdown", "crash"}
		if onPostgres { // one kind for each point, since creating a database is slow
			kinds = kinds[n%3 : n%3+1]
		}
		for _, how := range kinds {
			t.Run(point+"/"+how, func(t *testing.T) {
				b := newFixtureOn(t, onPostgres, nil)
				b.fillDelta()
				id := b.interrupt(point, how)
				if status := b.wait(b.Service, id); status.State != store.Complete {
					t.Fatalf("status %+v", status)
				}
				if diff := cmp.Diff(want, b.withoutTime(id)); diff != "" {
					t.Errorf("files (-undisturbed +resumed):\n%s", diff)
				}
				if err := b.sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				if names := b.blobs(); len(names) != len(want) {
					t.Errorf("%d files remain of %d parts: %q", len(names), len(want), names)
				}
			})
		}
	}
}

// fillDelta fills the directory so that a delta has parts of all kinds.
func (b *fixture) fillDelta() {
	b.fill(30)
	b.apply(remove(fhir.Location, "l3"), remove(fhir.Practitioner, "p5"), identified(fhir.Location, "l7", policy.LocalSystem, "local-7", index.Suppressed))
}

// withoutTime returns the files of a complete job, without its transaction time. A selection
// that is repeated has another one.
func (b *fixture) withoutTime(id string) (files []string) {
	b.Helper()
	j, err := b.jobs.Job(b.Context(), id)
	if err != nil {
		b.Fatal(err)
	}
	for _, text := range b.download(id) {
		files = append(files, strings.ReplaceAll(text, j.Time.String(), "T"))
	}
	return files
}

// interrupt interrupts an export with parts of all kinds (interruptRequest).
func (b *fixture) interrupt(point, how string) string {
	b.Helper()
	return b.interruptRequest(point, how, b.request(new(firstSince), "Location", "Practitioner"))
}

// interruptRequest starts an export that is interrupted at the point, starts a service that can
// complete it, and returns its id.
func (b *fixture) interruptRequest(point, how string, r Request) string {
	b.Helper()
	first := b.Service
	var dead atomic.Bool
	if how == "crash" {
		config := b.Config
		config.Store, config.Blobs = dyingStore{config.Store, &dead}, dyingBlobs{config.Blobs, &dead}
		first = New(config)
	}
	ctx, stop := context.WithCancel(context.Background())
	reached := make(chan struct{})
	var passed atomic.Bool
	disarm := failpoint.Arm(point, func(context.Context) error {
		if passed.Swap(true) {
			return nil
		}
		defer close(reached)
		switch how {
		case "crash":
			dead.Store(true)
		case "shutdown":
			stop()
		}
		return errInterrupted
	})
	b.Cleanup(disarm)
	created := make(chan string, 1)
	first.jobs = recordingJobs{first.jobs, created}
	ran := make(chan error, 1)
	go func() { ran <- first.Run(ctx) }()
	if _, err := first.KickOff(b.Context(), r); err != nil && !errors.Is(err, errInterrupted) {
		b.Fatal(err)
	}
	select {
	case <-reached:
	case <-time.After(30 * time.Second):
		b.Fatalf("%s was not reached", point)
	}
	id := <-created
	if how == "error" {
		b.Cleanup(func() { stop(); <-ran })
		return id
	}
	stop()
	if err := <-ran; err != nil {
		b.Fatal(err)
	}
	if how == "crash" {
		b.clock.Add(time.Minute) // past the leases of the crashed service
	}
	b.Service = New(b.Config)
	start(b.T, b.Service)
	return id
}

// recordingJobs records the id of a job even if its kick-off fails.
type recordingJobs struct {
	store.Jobs
	created chan string
}

func (n recordingJobs) CreateJob(ctx context.Context, job store.Job, limit int) error {
	n.created <- job.ID
	return n.Jobs.CreateJob(ctx, job, limit)
}

// dyingStore is a store whose calls fail once its process has crashed.
type dyingStore struct {
	store.Store
	dead *atomic.Bool
}

func (m dyingStore) died() error {
	if m.dead.Load() {
		return errInterrupted
	}
	return nil
}

func (m dyingStore) Claim(ctx context.Context, worker string, now fhir.Instant, lease int64, within store.Bounds) (*store.Task, error) {
	if err := m.died(); err != nil {
		return nil, err
	}
	return m.Store.Claim(ctx, worker, now, lease, within)
}

func (m dyingStore) EndSlice(ctx context.Context, t *store.Task, ran int64, now fhir.Instant) error {
	if err := m.died(); err != nil {
		return err
	}
	return m.Store.EndSlice(ctx, t, ran, now)
}

func (m dyingStore) Renew(ctx context.Context, t *store.Task, now fhir.Instant, lease, found int64) error {
	if err := m.died(); err != nil {
		return err
	}
	return m.Store.Renew(ctx, t, now, lease, found)
}

func (m dyingStore) Release(ctx context.Context, t *store.Task, retry fhir.Instant, failed bool) error {
	if err := m.died(); err != nil {
		return err
	}
	return m.Store.Release(ctx, t, retry, failed)
}

func (m dyingStore) Fail(ctx context.Context, id, reason string, now, expires fhir.Instant) error {
	if err := m.died(); err != nil {
		return err
	}
	return m.Store.Fail(ctx, id, reason, now, expires)
}

func (m dyingStore) BeginSelecting(ctx context.Context, t *store.Task, at, now fhir.Instant) error {
	if err := m.died(); err != nil {
		return err
	}
	return m.Store.BeginSelecting(ctx, t, at, now)
}

func (m dyingStore) StoreMembers(ctx context.Context, t *store.Task, filters string, members *roaring64.Bitmap, limit int64, now fhir.Instant) error {
	if err := m.died(); err != nil {
		return err
	}
	return m.Store.StoreMembers(ctx, t, filters, members, limit, now)
}

func (m dyingStore) StoreSelection(ctx context.Context, t *store.Task, s []store.Selection, p []store.Part, now, expires fhir.Instant) error {
	if err := m.died(); err != nil {
		return err
	}
	return m.Store.StoreSelection(ctx, t, s, p, now, expires)
}

func (m dyingStore) FinishPart(ctx context.Context, t *store.Task, object string, stored store.Stored, now, expires fhir.Instant) (store.State, error) {
	if err := m.died(); err != nil {
		return "", err
	}
	return m.Store.FinishPart(ctx, t, object, stored, now, expires)
}

func (m dyingStore) Objects(ctx context.Context) (objects, jobs map[string]bool, err error) {
	if err := m.died(); err != nil {
		return nil, nil, err
	}
	return m.Store.Objects(ctx)
}

// dyingBlobs keeps the temporary files of a crashed process.
type dyingBlobs struct {
	blob.Store
	dead *atomic.Bool
}

func (m dyingBlobs) Create(ctx context.Context, name string) (blob.Writer, error) {
	w, err := m.Store.Create(ctx, name)
	return dyingWriter{w, m.dead}, err
}

func (m dyingBlobs) Remove(ctx context.Context, name string) error {
	if m.dead.Load() {
		return errInterrupted
	}
	return m.Store.Remove(ctx, name)
}

type dyingWriter struct {
	blob.Writer
	dead *atomic.Bool
}

func (m dyingWriter) Commit() error {
	if m.dead.Load() {
		return errInterrupted
	}
	return m.Writer.Commit()
}

func (m dyingWriter) Abort() {
	if !m.dead.Load() {
		m.Writer.Abort()
	}
}
