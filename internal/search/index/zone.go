package index

import (
	"sync"
	"time"
	_ "time/tzdata" // the same rule on machines without zone data
)

// Zone returns the time zone of dates in resources that do not name one, such as
// 2026-03-01: Australia/Sydney. A date in a query is read in the same zone, so that the same
// day means the same interval on both sides. The time zone in which a server shows times has
// no effect. Stored index entries depend on Zone: after a change they must be rebuilt.
var Zone = sync.OnceValue(func() *time.Location {
	zone, err := time.LoadLocation("Australia/Sydney")
	if err != nil {
		return time.UTC // cannot happen: the zone data is embedded
	}
	return zone
})
