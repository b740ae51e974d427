package searchset

import "time"

// DefaultPageLife is the default of Config.PageLife. The options of muster serve use it too.
const DefaultPageLife = time.Hour
