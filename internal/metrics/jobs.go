package metrics

import (
	"context"
	"time"

	"muster/internal/fhir"
	"muster/internal/store"

	"github.com/prometheus/client_golang/prometheus"
)

// WatchJobs makes each scrape read the live jobs. isLong reports whether the next slice of a selection
// that has run for some time is a long one. It is called once.
func (m *Metrics) WatchJobs(jobs store.Jobs, now func() time.Time, isLong func(ran time.Duration) bool) {
	m.registry.MustRegister(&liveJobs{jobs: jobs, now: now, isLong: isLong})
}

// liveJobs collects metrics of the live jobs. They are few, however many jobs have ended.
type liveJobs struct {
	jobs   store.Jobs
	now    func() time.Time
	isLong func(ran time.Duration) bool
}

var (
	jobsDesc    = prometheus.NewDesc("muster_jobs", "Live exports by state: accepted, selecting or writing.", []string{"state"}, nil)
	selectDesc  = prometheus.NewDesc("muster_selections", "Selections of live exports by lane (short or long) and state (running or waiting).", []string{"lane", "state"}, nil)
	queueDesc   = prometheus.NewDesc("muster_queue_age_seconds", "Longest time for which a live export has waited for a worker, or 0.", nil, nil)
	oldestDesc  = prometheus.NewDesc("muster_oldest_job_seconds", "Age of the oldest live export, or 0.", nil, nil)
	stalledDesc = prometheus.NewDesc("muster_stalled_seconds", "Longest time for which an export that a worker works on has made no progress, or 0.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (l *liveJobs) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{jobsDesc, selectDesc, queueDesc, oldestDesc, stalledDesc} {
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
	selections := map[[2]string]int{{"short", "running"}: 0, {"short", "waiting"}: 0, {"long", "running"}: 0, {"long", "waiting"}: 0}
	now := fhir.InstantOf(l.now())
	var queue, oldest, stalled float64
	for _, job := range live {
		counts[job.State]++
		if job.State != store.Writing {
			selections[l.lane(job, now)]++
		}
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
	for labels, n := range selections {
		to <- prometheus.MustNewConstMetric(selectDesc, prometheus.GaugeValue, float64(n), labels[:]...)
	}
	to <- prometheus.MustNewConstMetric(queueDesc, prometheus.GaugeValue, queue)
	to <- prometheus.MustNewConstMetric(oldestDesc, prometheus.GaugeValue, oldest)
	to <- prometheus.MustNewConstMetric(stalledDesc, prometheus.GaugeValue, stalled)
}

// lane returns the lane of a selection, and its state.
func (l *liveJobs) lane(job store.Job, now fhir.Instant) (labels [2]string) {
	labels = [2]string{"short", "waiting"}
	if l.isLong(time.Duration(job.Selected) * time.Millisecond) {
		labels[0] = "long"
	}
	if job.Lease > now {
		labels[1] = "running"
	}
	return labels
}

func seconds(span fhir.Instant) float64 { return float64(max(0, span)) / 1000 }
