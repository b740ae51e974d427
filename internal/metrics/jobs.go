package metrics

import (
	"context"
	"time"

	"muster/internal/fhir"
	"muster/internal/store"

	"github.com/prometheus/client_golang/prometheus"
)

// WatchJobs makes each scrape read the live jobs. It is called once.
func (m *Metrics) WatchJobs(jobs store.Jobs, now func() time.Time) {
	m.registry.MustRegister(&liveJobs{jobs: jobs, now: now})
}

// liveJobs collects metrics of the live jobs. They are few, however many jobs have ended.
type liveJobs struct {
	jobs store.Jobs
	now  func() time.Time
}

var (
	jobsDesc    = prometheus.NewDesc("muster_jobs", "Live exports by state: accepted, selecting or writing.", []string{"state"}, nil)
	queueDesc   = prometheus.NewDesc("muster_queue_age_seconds", "Longest time for which a live export has waited for a worker, or 0.", nil, nil)
	oldestDesc  = prometheus.NewDesc("muster_oldest_job_seconds", "Age of the oldest live export, or 0.", nil, nil)
	stalledDesc = prometheus.NewDesc("muster_stalled_seconds", "Longest time for which an export that a worker works on has made no progress, or 0.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (l *liveJobs) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{jobsDesc, queueDesc, oldestDesc, stalledDesc} {
		to <- d
	}
}

// readTimeout limits the database read of a scrape.
const readTimeout = 3 * time.Second

// Collect implements [prometheus.Collector].
func (l *liveJobs) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	live, err := l.jobs.Live(ctx)
	if err != nil {
		to <- prometheus.NewInvalidMetric(jobsDesc, err)
		return
	}
	counts := map[store.State]int{store.Accepted: 0, store.Selecting: 0, store.Writing: 0}
	now := fhir.InstantOf(l.now())
	var queue, oldest, stalled float64
	for _, job := range live {
		counts[job.State]++
		oldest = max(oldest, seconds(now-job.Created))
		if since := seconds(now - job.Progress); job.Lease > now {
			stalled = max(stalled, since)
		} else {
			queue = max(queue, since)
		}
	}
	for state, n := range counts {
		to <- prometheus.MustNewConstMetric(jobsDesc, prometheus.GaugeValue, float64(n), string(state))
	}
	to <- prometheus.MustNewConstMetric(queueDesc, prometheus.GaugeValue, queue)
	to <- prometheus.MustNewConstMetric(oldestDesc, prometheus.GaugeValue, oldest)
	to <- prometheus.MustNewConstMetric(stalledDesc, prometheus.GaugeValue, stalled)
}

func seconds(span fhir.Instant) float64 { return float64(max(0, span)) / 1000 }
