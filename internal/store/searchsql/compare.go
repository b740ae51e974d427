package searchsql

import (
	"muster/internal/search/plan"
)

// compareDate writes the comparison of a date entry, from low to before high. The
// conditions on low that follow from the others are written too where they let the
// index find the first and the last entry.
func compareDate(f *fragment, a string, c plan.Comparison) {
	from, to := int64(c.Period.From), int64(c.Period.To)
	low, high := a+".low", a+".high"
	switch c.Prefix {
	case plan.NE:
		f.add("("+low+" < ? OR "+high+" > ?)", from, to)
	case plan.GT:
		f.add(high+" > ?", to)
	case plan.LT:
		f.add(low+" < ?", from)
	case plan.GE:
		f.add("("+high+" > ? OR "+low+" >= ? AND "+high+" <= ?)", to, from, to)
	case plan.LE:
		f.add(low+" < ? AND ("+low+" < ? OR "+high+" <= ?)", to, from, to)
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

// compareMoment writes the comparison of a moment, which is a period of one
// millisecond: each is one range.
func compareMoment(f *fragment, column string, c plan.Comparison) {
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
