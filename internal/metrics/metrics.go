package metrics

import (
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"

	"muster/internal/damage"
	"muster/internal/store"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics holds the metrics of one server. Its methods are safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	requests   *prometheus.HistogramVec
	sent       *prometheus.CounterVec
	refused    *prometheus.CounterVec
	parts      prometheus.Counter
	resources  prometheus.Counter
	written    prometheus.Counter
	stored     prometheus.Counter
	ended      *prometheus.CounterVec
	restarted  *prometheus.CounterVec
	removed    *prometheus.CounterVec
	gate       prometheus.Histogram
	stalled    prometheus.Gauge
	searches   *prometheus.HistogramVec
	auditLost  prometheus.Counter
	auditEarly prometheus.Counter
	failures   prometheus.Counter
	forwarded  prometheus.Counter
	damaged    *prometheus.CounterVec
}

// Build identifies the program. Unknown fields are empty.
type Build struct {
	Version   string
	Revision  string // of the source
	Committed string // time of the revision, as in RFC 3339
}

// The values of labels, which are present from the start, so that rate() sees the first event.
var (
	endStates     = []store.State{store.Complete, store.Failed, store.Cancelled}
	limits        = []string{"poll", "rate", "download", "search", "job", "quota", "space", "memory", "full", "busy", "connection", "host"} // server.RefusedPoll and following
	lanes         = []string{"read", "fast", "slow"}                                                                                        // deadline.ReadLane and following
	removals      = []string{"export", "file"}                                                                                              // export.RemovedExport and following
	interruptions = []string{"slice", "log"}                                                                                                // export.InterruptedBySlice and following
)

// New returns the metrics of a server.
func New(b Build) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "muster", Name: name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "muster", Name: name, Help: help}, labels)
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "muster", Name: "http_request_seconds",
			Help: "Time from a request to the last byte of its response.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 9)}, []string{"route", "method", "status"}),
		sent:      counters("http_sent_bytes_total", "Bytes of response bodies.", "route"),
		refused:   counters("http_refused_total", "Requests refused because of a limit.", "limit"),
		parts:     counter("export_parts_written_total", "Output files written."),
		resources: counter("export_resources_written_total", "Resources in output files."),
		written:   counter("export_written_bytes_total", "Bytes of NDJSON in output files."),
		stored:    counter("export_stored_bytes_total", "Compressed bytes of output files on disk."),
		ended:     counters("jobs_ended_total", "Exports that ended on this server: complete, failed, or cancelled while live.", "state"),
		restarted: counters("selections_interrupted_total", "Selections of exports that were interrupted and begun again later: slice or log.", "by"),
		removed:   counters("removed_total", "Exports that expired or were deleted, and files removed because no export named them.", "what"),
		stalled: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "muster", Name: "gate_stalled_seconds",
			Help: "Time for which the holder of the write gate has made no progress, as of the last report; 0 if it makes progress."}),
		gate: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "muster", Name: "gate_wait_seconds",
			Help: "Waits of this process for the write gate.", Buckets: prometheus.ExponentialBuckets(0.0005, 4, 9)}),
		searches: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "muster", Name: "search_wait_seconds",
			Help: "Waits of searches and reads for their turn, by lane: read, fast or slow.", Buckets: prometheus.ExponentialBuckets(0.0005, 4, 9)}, []string{"lane"}),
		auditLost:  counter("audit_lost_total", "Audit events that could not be written."),
		auditEarly: counter("audit_removed_early_total", "Rotated audit logs that the size limit removed before the retention time."),
		failures:   counter("http_failures_total", "Responses with a status from 500."),
		forwarded:  counter("http_not_forwarded_total", "Requests whose X-Forwarded-For was not understood, so that they count for the proxy."),
		damaged:    counters("damage_total", "Exports that failed, downloads that broke off and requests that failed because stored data are damaged, by what is damaged: row, count, database, file or selection.", "what"),
	}
	about := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "muster", Name: "build_info",
		Help: "1, with the version of the program, the revision of its source and the time of that.", ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "committed": b.Committed}}, func() float64 { return 1 })
	m.registry.MustRegister(about, m.requests, m.sent, m.refused, m.parts, m.resources, m.written, m.stored, m.ended, m.removed, m.restarted, m.gate, m.stalled, m.searches, m.auditLost, m.auditEarly, m.failures, m.forwarded, m.damaged,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, state := range endStates {
		m.ended.WithLabelValues(string(state))
	}
	for _, limit := range limits {
		m.refused.WithLabelValues(limit)
	}
	for _, lane := range lanes {
		m.searches.WithLabelValues(lane)
	}
	for _, kind := range damage.Kinds() {
		m.damaged.WithLabelValues(string(kind))
	}
	for _, by := range interruptions {
		m.restarted.WithLabelValues(by)
	}
	for _, what := range removals {
		m.removed.WithLabelValues(what)
	}
	return m
}

// Handler serves the metrics in the formats of Prometheus. A metric that cannot be
// collected, such as the live jobs while the database is down, is omitted, and the error
// is logged.
func (m *Metrics) Handler(log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), MaxRequestsInFlight: 4,
	})
}

var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace,
}

// Request implements server.Observer.
func (m *Metrics) Request(route, method string, status int, took time.Duration, sent int64) {
	if !slices.Contains(methods, method) {
		method = "other"
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Observe(took.Seconds())
	m.sent.WithLabelValues(route).Add(float64(sent))
	if status >= http.StatusInternalServerError {
		m.failures.Inc()
	}
}

// NotForwarded implements server.Observer.
func (m *Metrics) NotForwarded() { m.forwarded.Inc() }

// Refused implements server.Observer.
func (m *Metrics) Refused(limit string) { m.refused.WithLabelValues(limit).Inc() }

// PartWritten implements export.Observer.
func (m *Metrics) PartWritten(resources, bytes, stored int64) {
	m.parts.Inc()
	m.resources.Add(float64(resources))
	m.written.Add(float64(bytes))
	m.stored.Add(float64(stored))
}

// JobEnded implements export.Observer.
func (m *Metrics) JobEnded(state store.State) { m.ended.WithLabelValues(string(state)).Inc() }

// Removed implements export.Observer.
func (m *Metrics) Removed(what string, n int) { m.removed.WithLabelValues(what).Add(float64(n)) }

// GateStalled records that the holder of the write gate makes no progress, or, with the zero
// value, that it does again.
func (m *Metrics) GateStalled(s store.GateStall) { m.stalled.Set(s.For.Seconds()) }

// SelectionInterrupted implements export.Observer.
func (m *Metrics) SelectionInterrupted(by string) { m.restarted.WithLabelValues(by).Inc() }

// GateWaited records a wait for the write gate.
func (m *Metrics) GateWaited(d time.Duration) { m.gate.Observe(d.Seconds()) }

// SearchWaited records the wait of a search or a read for its turn in a lane.
func (m *Metrics) SearchWaited(lane string, d time.Duration) {
	m.searches.WithLabelValues(lane).Observe(d.Seconds())
}

// Damaged implements server.Observer and export.Observer.
func (m *Metrics) Damaged(kind damage.Kind) { m.damaged.WithLabelValues(string(kind)).Inc() }

// AuditRemovedEarly counts rotated audit logs that were removed before the retention time.
func (m *Metrics) AuditRemovedEarly(files int) { m.auditEarly.Add(float64(files)) }

// AuditLost counts an audit event that could not be written.
func (m *Metrics) AuditLost() { m.auditLost.Inc() }
