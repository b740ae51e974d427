package job_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"muster/internal/fhir"
	"muster/internal/job"
	"muster/internal/store"
)

// queue is a job queue in memory that holds one task. The stores in packages sqlite and
// postgres implement store.JobQueue for real.
type queue struct {
	claimed int64
	free    chan struct{}
}

func (q *queue) Claim(_ context.Context, worker string, _ fhir.Instant, _ int64, _ store.Bounds) (*store.Task, error) {
	select {
	case <-q.free:
		q.claimed++
		return &store.Task{Job: store.Job{ID: "job-1"}, Worker: worker, Fence: q.claimed, Attempt: int(q.claimed)}, nil
	default:
		return nil, nil
	}
}

func (q *queue) Renew(context.Context, *store.Task, fhir.Instant, int64, int64) error { return nil }

func (q *queue) Release(_ context.Context, t *store.Task, _ fhir.Instant, failed bool) error {
	fmt.Printf("claim %d released, failed: %t\n", t.Fence, failed)
	q.free <- struct{}{}
	return nil
}

func (q *queue) EndSlice(context.Context, *store.Task, int64, fhir.Instant) error { return nil }

func (q *queue) Fail(context.Context, string, string, fhir.Instant, fhir.Instant) error { return nil }

func (q *queue) Stalled(context.Context, fhir.Instant, int64) ([]store.Job, error) { return nil, nil }

// A task fails once and is claimed again. The second attempt reports its progress, stores
// its result and ends the engine.
func Example() {
	q := &queue{free: make(chan struct{}, 1)}
	q.free <- struct{}{}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	engine := job.New(job.Config{
		Jobs:    q,
		Workers: 1,
		Tick:    time.Millisecond,
		Logger:  slog.New(slog.DiscardHandler),
		Work: func(ctx context.Context, c *job.Claim) error {
			fmt.Printf("attempt %d of %s\n", c.Task.Attempt, c.Task.Job.ID)
			if c.Task.Attempt == 1 {
				return errors.New("the disk is full")
			}
			c.ReportProgress(100)
			finish, cancel := c.FinishContext(ctx) // survives the stop of the engine
			defer cancel()
			stop()
			fmt.Println("result stored:", finish.Err() == nil)
			return nil
		},
	})
	if err := engine.Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// attempt 1 of job-1
	// claim 1 released, failed: true
	// attempt 2 of job-1
	// result stored: true
}
