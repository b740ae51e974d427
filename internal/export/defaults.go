package export

import (
	"time"

	"muster/internal/job"
)

// The defaults of [Config]. The options of muster serve use them too.
const (
	DefaultZone             = "Australia/Sydney" // of the national directory
	DefaultWorkers          = job.DefaultWorkers
	DefaultPartBytes        = 256 << 20
	DefaultJobsPerPrincipal = 5
	DefaultClientQuota      = 4 << 30  // bytes on disk
	DefaultQuota            = 64 << 30 // bytes on disk
	DefaultRetention        = job.DefaultRetention
	DefaultForget           = 7 * 24 * time.Hour
	DefaultKeepRemovals     = 400 * 24 * time.Hour
	DefaultMembershipBytes  = 256 << 20
	DefaultLease            = job.DefaultLease
	DefaultSweepEvery       = time.Minute
	DefaultLogLimit         = 1 << 30
)
