package audit

// The defaults of [Options]. The options of muster serve use them too.
const (
	DefaultMegaBytes = 100
	DefaultBackups   = 10
)
