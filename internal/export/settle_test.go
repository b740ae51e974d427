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

// A heartbeat that comes just after work was stored as done is refused, since nobody holds
// the claim any more. That must not reach the worker which has done the work and waits for
// the answer of the database: the end of the job would be told to nobody.
func TestHeartbeatAfterTheEnd(t *testing.T) { onEach(t, testHeartbeatAfterTheEnd) }

func testHeartbeatAfterTheEnd(t *testing.T, onPostgres bool) {
	for name, resources := range map[string]int{"written": 30, "nothing selected": 0} {
		t.Run(name, func(t *testing.T) {
			observed := newTally()
			b := newBundleOn(t, onPostgres, func(c *Config) { c.Observer = observed })
			b.fill(resources)
			beats := &beatStore{Store: b.Config.Store, refused: map[*store.Task]chan struct{}{}}
			b.Config.Store = beats
			b.Service = New(b.Config)
			// What stores the end of work is committed, and its answer comes only after a
			// heartbeat has been refused.
			defer failpoint.Arm("jobs.committed", func(ctx context.Context) error {
				task, ok := ctx.Value(taskKey{}).(*store.Task)
				if !ok {
					return nil
				}
				select {
				case <-beats.of(task):
				case <-time.After(30 * time.Second):
					t.Error("no heartbeat was refused")
				}
				select {
				case <-ctx.Done():
				case <-time.After(20 * time.Millisecond): // for a refusal to get through, if it does
				}
				return ctx.Err()
			})()
			stop := start(t, b.Service)
			if status := b.wait(b.Service, b.kickOff("Location", "Practitioner")); status.State != store.Complete {
				t.Errorf("status %+v", status)
			}
			beats.settling.Wait() // a stop ends the heartbeats
			stop()
			if told := observed.all(); told["ended complete"] != 1 || told["resources"] != int64(2*resources) {
				t.Errorf("observed %v", told)
			}
		})
	}
}

// beatStore notes whose heartbeats were refused, and says in the context whose work comes to
// its end.
type beatStore struct {
	store.Store
	settling sync.WaitGroup // what tells the store of its end
	mu       sync.Mutex
	refused  map[*store.Task]chan struct{}
}

// of returns what is closed when a heartbeat of the task was refused.
func (s *beatStore) of(t *store.Task) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused[t] == nil {
		s.refused[t] = make(chan struct{})
	}
	return s.refused[t]
}

func (s *beatStore) Renew(ctx context.Context, t *store.Task, now fhir.Instant, lease, found int64) error {
	err := s.Store.Renew(ctx, t, now, lease, found)
	if err != nil && ctx.Err() == nil {
		close(s.of(t))
	}
	return err
}

func (s *beatStore) StoreSelection(ctx context.Context, t *store.Task, all []store.Selection, parts []store.Part, now, expires fhir.Instant) error {
	s.settling.Add(1)
	defer s.settling.Done()
	return s.Store.StoreSelection(context.WithValue(ctx, taskKey{}, t), t, all, parts, now, expires)
}

func (s *beatStore) FinishPart(ctx context.Context, t *store.Task, object string, stored store.Stored, now, expires fhir.Instant) (store.State, error) {
	s.settling.Add(1)
	defer s.settling.Done()
	return s.Store.FinishPart(context.WithValue(ctx, taskKey{}, t), t, object, stored, now, expires)
}
