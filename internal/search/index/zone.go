package index

import (
	"sync"
	"time"
	_ "time/tzdata" // the same rule on machines without zone data
)

// Zone is where dates without a zone are read that stand in resources: periods,
// days. A question that is compared with them reads its own dates here too, so that
// the day 2026-03-01 is the same day on both sides, whatever zone a server shows its
// times in. It is part of what entries mean: the eastern states of Australia.
var Zone = sync.OnceValue(func() *time.Location {
	zone, err := time.LoadLocation("Australia/Sydney")
	if err != nil {
		return time.UTC // cannot be: the data is linked in
	}
	return zone
})
