package query

// The limits of one text. They bound the work of a request and the size of its statements.
// The longest published filter has about 150 characters, two steps and five values.
const (
	MaxText   = 64 << 10 // bytes of the text, before percent-escapes are undone
	MaxDepth  = 10       // steps of one chain, forward and reverse together
	MaxValues = 500      // values of all criteria together
	MaxIssues = 50       // problems reported of one text; Parse stops there
)
