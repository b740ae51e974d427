package export

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"muster/internal/blob"
	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
)

var errCut = errors.New("cut by the test")

// points are all fault points of an export.
var points = []string{"export.accepted", "export.selecting", "export.selected", "export.writing",
	"export.part.page", "export.part.written", "export.part.committed", "export.finished"}

// An export that is cut once at any point, by an error, by a stop of the server
// or by its death, ends with the files of an undisturbed one (D7).
func TestCutAndResume(t *testing.T) { onEach(t, testCutAndResume) }

func testCutAndResume(t *testing.T, onPostgres bool) {
	undisturbed := newBundleOn(t, onPostgres, nil)
	undisturbed.fill(30)
	start(t, undisturbed.Service)
	id := undisturbed.kickOff("Location", "Practitioner")
	undisturbed.wait(undisturbed.Service, id)
	want := undisturbed.download(id)

	for n, point := range points {
		ways := []string{"error", "stop", "death"}
		if onPostgres { // one way for each point: making a database takes long
			ways = ways[n%3 : n%3+1]
		}
		for _, how := range ways {
			t.Run(point+"/"+how, func(t *testing.T) {
				b := newBundleOn(t, onPostgres, nil)
				b.fill(30)
				id := b.cut(point, how)
				if status := b.wait(b.Service, id); status.State != store.Complete {
					t.Fatalf("status %+v", status)
				}
				if diff := cmp.Diff(want, b.download(id)); diff != "" {
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

// cut starts an export that is cut at the point, leaves a service running that
// can end it, and returns its id.
func (b *bundle) cut(point, how string) string {
	b.Helper()
	first := b.Service
	var dead atomic.Bool
	if how == "death" {
		config := b.Config
		config.Store, config.Blobs = mortalStore{config.Store, &dead}, mortalBlobs{config.Blobs, &dead}
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
		case "death":
			dead.Store(true)
		case "stop":
			stop()
		}
		return errCut
	})
	b.Cleanup(disarm)
	created := make(chan string, 1)
	first.jobs = noting{first.jobs, created}
	ran := make(chan error, 1)
	go func() { ran <- first.Run(ctx) }()
	if _, err := first.KickOff(b.Context(), b.request(nil, "Location", "Practitioner")); err != nil && !errors.Is(err, errCut) {
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
	if how == "death" {
		b.clock.move(time.Minute) // past the leases of the dead
	}
	b.Service = New(b.Config)
	start(b.T, b.Service)
	return id
}

// noting tells the id of a job, though its kick-off may fail to.
type noting struct {
	store.Jobs
	created chan string
}

func (n noting) CreateJob(ctx context.Context, job store.Job, limit int) error {
	n.created <- job.ID
	return n.Jobs.CreateJob(ctx, job, limit)
}

// mortalStore is a job store whose process dies: nothing it is asked for happens.
type mortalStore struct {
	store.Store
	dead *atomic.Bool
}

func (m mortalStore) died() error {
	if m.dead.Load() {
		return errCut
	}
	return nil
}

func (m mortalStore) Claim(ctx context.Context, worker string, now fhir.Instant, lease int64) (*store.Task, error) {
	if err := m.died(); err != nil {
		return nil, err
	}
	return m.Store.Claim(ctx, worker, now, lease)
}

func (m mortalStore) Renew(ctx context.Context, t *store.Task, now fhir.Instant, lease, found int64) error {
	if err := m.died(); err != nil {
		return err
	}
	return m.Store.Renew(ctx, t, now, lease, found)
}

func (m mortalStore) Release(ctx context.Context, t *store.Task, retry fhir.Instant, failed bool) error {
	if err := m.died(); err != nil {
		return err
	}
	return m.Store.Release(ctx, t, retry, failed)
}

func (m mortalStore) Fail(ctx context.Context, id, reason string, now, expires fhir.Instant) error {
	if err := m.died(); err != nil {
		return err
	}
	return m.Store.Fail(ctx, id, reason, now, expires)
}

func (m mortalStore) BeginSelecting(ctx context.Context, t *store.Task, at, now fhir.Instant) error {
	if err := m.died(); err != nil {
		return err
	}
	return m.Store.BeginSelecting(ctx, t, at, now)
}

func (m mortalStore) StoreSelection(ctx context.Context, t *store.Task, s []store.Selection, p []store.Part, now, expires fhir.Instant) error {
	if err := m.died(); err != nil {
		return err
	}
	return m.Store.StoreSelection(ctx, t, s, p, now, expires)
}

func (m mortalStore) FinishPart(ctx context.Context, t *store.Task, object string, stored store.Stored, now, expires fhir.Instant) (store.State, error) {
	if err := m.died(); err != nil {
		return "", err
	}
	return m.Store.FinishPart(ctx, t, object, stored, now, expires)
}

func (m mortalStore) Objects(ctx context.Context) (objects, jobs map[string]bool, err error) {
	if err := m.died(); err != nil {
		return nil, nil, err
	}
	return m.Store.Objects(ctx)
}

// mortalBlobs leaves behind what the dead had begun.
type mortalBlobs struct {
	blob.Store
	dead *atomic.Bool
}

func (m mortalBlobs) Create(ctx context.Context, name string) (blob.Writer, error) {
	w, err := m.Store.Create(ctx, name)
	return mortalWriter{w, m.dead}, err
}

func (m mortalBlobs) Remove(ctx context.Context, name string) error {
	if m.dead.Load() {
		return errCut
	}
	return m.Store.Remove(ctx, name)
}

type mortalWriter struct {
	blob.Writer
	dead *atomic.Bool
}

func (m mortalWriter) Commit() error {
	if m.dead.Load() {
		return errCut
	}
	return m.Writer.Commit()
}

func (m mortalWriter) Abort() {
	if !m.dead.Load() {
		m.Writer.Abort()
	}
}
