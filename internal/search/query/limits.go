package query

// The bounds of one text. They keep the work of a request small and the
// statements that come of it within what a database takes: far more than any
// published filter needs (the longest has about 150 characters, two levels and
// five values).
const (
	MaxText   = 64 << 10 // bytes of the text, before percent-escapes are undone
	MaxDepth  = 10       // steps of one chain, forward and reverse together
	MaxValues = 500      // values of all criteria together
	MaxIssues = 50       // problems told of one text; reading stops there
)
