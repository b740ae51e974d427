package metrics

import (
	"context"
	"time"

	"muster/internal/fhir"
	"muster/internal/store"

	"github.com/prometheus/client_golang/prometheus"
)

// WatchDisk makes each scrape read the free space of the disk of a folder. Name tells several
// disks apart.
func (m *Metrics) WatchDisk(name, folder string) {
	m.watch(diskDesc, func(context.Context) (float64, error) {
		free, err := freeBytes(folder)
		return float64(free), err
	}, name)
}

// WatchLog makes each scrape read the size of the write-ahead log of the database.
func (m *Metrics) WatchLog(log store.WriteAheadLog) {
	m.watch(logDesc, func(context.Context) (float64, error) {
		size, err := log.LogSize()
		return float64(size), err
	})
}

// WatchPool makes each scrape read how much of a pool all clients hold, and the one with the most.
func (m *Metrics) WatchPool(name string, pool interface {
	Used() int64
	Largest() int64
}) {
	for desc, read := range map[*prometheus.Desc]func() int64{poolDesc: pool.Used, largestDesc: pool.Largest} {
		m.watch(desc, func(context.Context) (float64, error) { return float64(read()), nil }, name)
	}
}

// WatchSearches makes each scrape read how many searches run and wait in each lane.
func (m *Metrics) WatchSearches(searches interface {
	SearchLoad() map[string]store.LaneLoad
}) {
	for lane := range searches.SearchLoad() {
		m.watch(searchesDesc, func(context.Context) (float64, error) { return float64(searches.SearchLoad()[lane].Running), nil }, lane, "running")
		m.watch(searchesDesc, func(context.Context) (float64, error) { return float64(searches.SearchLoad()[lane].Waiting), nil }, lane, "waiting")
	}
}

// WatchMembers makes each scrape read how much is kept of what exports held.
func (m *Metrics) WatchMembers(kept interface {
	MembersKept(ctx context.Context) (sets, bytes int64, err error)
}) {
	m.watch(membersDesc, func(ctx context.Context) (float64, error) {
		sets, _, err := kept.MembersKept(ctx)
		return float64(sets), err
	})
	m.watch(memberBytesDesc, func(ctx context.Context) (float64, error) {
		_, bytes, err := kept.MembersKept(ctx)
		return float64(bytes), err
	})
}

// WatchCertificate makes each scrape read the end of the TLS certificate.
func (m *Metrics) WatchCertificate(expires func() time.Time) {
	m.watch(certificateDesc, func(context.Context) (float64, error) { return unixSeconds(fhir.InstantOf(expires())), nil })
}

// WatchTimes makes each scrape read when the last load and the last backup ended.
func (m *Metrics) WatchTimes(times interface {
	Last(ctx context.Context, work store.Work) (fhir.Instant, error)
}) {
	for work, desc := range map[store.Work]*prometheus.Desc{store.LoadWork: loadDesc, store.BackupWork: backupDesc} {
		m.watch(desc, func(ctx context.Context) (float64, error) {
			at, err := times.Last(ctx, work)
			return unixSeconds(at), err
		})
	}
}

var (
	diskDesc        = prometheus.NewDesc("muster_disk_free_bytes", "Free space of the disk of the databases (data) and of the export files (files).", []string{"disk"}, nil)
	logDesc         = prometheus.NewDesc("muster_wal_bytes", "Size of the write-ahead log of the database.", nil, nil)
	poolDesc        = prometheus.NewDesc("muster_pool_used", "What all clients hold of a pool: connections, memory in bytes, or downloads.", []string{"pool"}, nil)
	largestDesc     = prometheus.NewDesc("muster_pool_largest", "What the client with the most holds of a pool.", []string{"pool"}, nil)
	searchesDesc    = prometheus.NewDesc("muster_searches", "Searches and reads by lane (read, fast or slow) and state (running or waiting).", []string{"lane", "state"}, nil)
	membersDesc     = prometheus.NewDesc("muster_memberships", "Exports of which it is kept what they held, so that a later one can say what has left their filters.", nil, nil)
	memberBytesDesc = prometheus.NewDesc("muster_membership_bytes", "Size of what is kept of what exports held.", nil, nil)
	certificateDesc = prometheus.NewDesc("muster_certificate_expiry_timestamp_seconds", "End of the TLS certificate.", nil, nil)
	loadDesc        = prometheus.NewDesc("muster_last_load_timestamp_seconds", "End of the last load into the directory, or 0.", nil, nil)
	backupDesc      = prometheus.NewDesc("muster_last_backup_timestamp_seconds", "End of the last backup of the directory, or 0.", nil, nil)
)

// watch makes each scrape read a gauge. If it cannot be read, it is omitted and the error is
// logged.
func (m *Metrics) watch(desc *prometheus.Desc, read func(context.Context) (float64, error), labels ...string) {
	m.registry.MustRegister(&reading{desc, labels, read})
}

// reading is a gauge that is read at each scrape.
type reading struct {
	desc   *prometheus.Desc
	labels []string
	read   func(context.Context) (float64, error)
}

// Describe implements [prometheus.Collector]. It describes nothing, since several collectors have
// one name with different labels.
func (*reading) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector].
func (r *reading) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	value, err := r.read(ctx)
	if err != nil {
		to <- prometheus.NewInvalidMetric(r.desc, err)
		return
	}
	to <- prometheus.MustNewConstMetric(r.desc, prometheus.GaugeValue, value, r.labels...)
}

// unixSeconds returns a time as Prometheus has it.
func unixSeconds(at fhir.Instant) float64 { return float64(at) / 1000 }
