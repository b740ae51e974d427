package export

import (
	"context"
	"sync"
	"testing"
	"time"

	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/store"
)

// TestHeartbeatAfterTheEnd checks a heartbeat that arrives just after work was stored as
// finished. It is rejected, because the claim no longer exists. The rejection must not
// cancel the worker, which still waits for the response of the database: the end of the
// job would be reported to no observer.
func TestHeartbeatAfterTheEnd(t *testing.T) { onBothDatabases(t, testHeartbeatAfterTheEnd) }

func testHeartbeatAfterTheEnd(t *testing.T, onPostgres bool) {
	for name, resources := range map[string]int{"written": 30, "nothing selected": 0} {
		t.Run(name, func(t *testing.T) {
			observed := newObserver()
			b := newFixtureOn(t, onPostgres, func(c *Config) { c.Observer = observed })
			b.fill(resources)
			beats := &heartbeatStore{Store: b.Config.Store, refused: map[*store.Task]chan struct{}{}}
			b.Config.Store = beats
			b.Service = New(b.Config)
			// The transaction that ends the work is committed, but the call returns only after
			// a heartbeat was rejected.
			defer failpoint.Arm("jobs.committed", func(ctx context.Context) error {
				task, ok := ctx.Value(taskKey{}).(*store.Task)
				if !ok {
					return nil
				}
				select {
				case <-beats.of(task):
				case <-time.After(30 * time.Second):
					t.Error("no heartbeat was rejected")
				}
				select {
				case <-ctx.Done():
				case <-time.After(20 * time.Millisecond): // time for the rejection to have an effect
				}
				return ctx.Err()
			})()
			stop := start(t, b.Service)
			if status := b.wait(b.Service, b.kickOff("Location", "Practitioner")); status.State != store.Complete {
				t.Errorf("status %+v", status)
			}
			beats.settling.Wait() // a stop ends the heartbeats
			stop()
			if got := observed.all(); got["ended complete"] != 1 || got["resources"] != int64(2*resources) {
				t.Errorf("observed %v", got)
			}
		})
	}
}

// heartbeatStore records whose heartbeats were rejected, and puts the task that is being
// finished into the context.
type heartbeatStore struct {
	store.Store
	settling sync.WaitGroup // the calls that finish a task
	mu       sync.Mutex
	refused  map[*store.Task]chan struct{}
}

// of returns a channel that is closed when a heartbeat of the task is rejected.
func (s *heartbeatStore) of(t *store.Task) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused[t] == nil {
		s.refused[t] = make(chan struct{})
	}
	return s.refused[t]
}

func (s *heartbeatStore) Renew(ctx context.Context, t *store.Task, now fhir.Instant, lease, found int64) error {
	err := s.Store.Renew(ctx, t, now, lease, found)
	if err != nil && ctx.Err() == nil {
		close(s.of(t))
	}
	return err
}

func (s *heartbeatStore) StoreSelection(ctx context.Context, t *store.Task, all []store.Selection, parts []store.Part, now, expires fhir.Instant) error {
	s.settling.Add(1)
	defer s.settling.Done()
	return s.Store.StoreSelection(context.WithValue(ctx, taskKey{}, t), t, all, parts, now, expires)
}

func (s *heartbeatStore) FinishPart(ctx context.Context, t *store.Task, object string, stored store.Stored, now, expires fhir.Instant) (store.State, error) {
	s.settling.Add(1)
	defer s.settling.Done()
	return s.Store.FinishPart(context.WithValue(ctx, taskKey{}, t), t, object, stored, now, expires)
}
