package sqlwriter

import (
	"muster/internal/search/plan"
)

// compareDate writes the comparison of a date entry, which is a period from low up to
// but not including high. A condition on low that follows from the others is written
// too where it narrows the range of the index.
func compareDate(f *fragment, alias string, c plan.Comparison) {
	from, to := int64(c.Period.From), int64(c.Period.To)
	low, high := alias+".low", alias+".high"
	switch c.Prefix {
	case plan.NE:
		f.add("("+low+" < ? OR "+high+" > ?)", from, to)
	case plan.GT:
		f.add(high+" > ?", to)
	case plan.LT:
		f.add(low+" < ?", from)
	case plan.GE:
		f.add(high+" > ?", from)
	case plan.LE:
		f.add(low+" < ?", to)
	case plan.SA:
		f.add(low+" >= ?", to)
	case plan.EB:
		f.add(high+" <= ?", from)
	case plan.AP:
		f.add(low+" < ? AND "+high+" > ?", to, from)
	default: // EQ
		f.add(low+" >= ? AND "+low+" < ? AND "+high+" <= ?", from, to, to)
	}
}

// compareInstant writes the comparison of an instant, which is a period of one
// millisecond. Each comparison is one range, except NE.
func compareInstant(f *fragment, column string, c plan.Comparison) {
	from, to := int64(c.Period.From), int64(c.Period.To)
	switch c.Prefix {
	case plan.NE:
		f.add("("+column+" < ? OR "+column+" >= ?)", from, to)
	case plan.GT, plan.SA:
		f.add(column+" >= ?", to)
	case plan.LT, plan.EB:
		f.add(column+" < ?", from)
	case plan.GE:
		f.add(column+" >= ?", from)
	case plan.LE:
		f.add(column+" < ?", to)
	default: // EQ, AP
		f.add(column+" >= ? AND "+column+" < ?", from, to)
	}
}
