package audit

import "time"

// The defaults of [Options]. The options of muster serve use them too.
const (
	DefaultMegaBytes = 100
	DefaultBackups   = 10
	DefaultRetention = 90 * 24 * time.Hour
)
