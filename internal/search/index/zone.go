package index

import (
	"sync"
	"time"
	_ "time/tzdata" // the same rule on machines without zone data
)

// Zone returns the time zone of dates without one in resources, such as periods and days:
// that of the eastern states of Australia. Dates of a query that are compared with them are
// in this zone too, so that the day 2026-03-01 is the same on both sides, independent of
// the zone in which a server shows times. Index entries depend on it.
var Zone = sync.OnceValue(func() *time.Location {
	zone, err := time.LoadLocation("Australia/Sydney")
	if err != nil {
		return time.UTC // cannot happen: the zone data is embedded
	}
	return zone
})
