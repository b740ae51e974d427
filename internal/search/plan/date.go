package plan

import (
	"regexp"
	"strings"
	"time"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/query"
)

// prefixes are the comparison prefixes of dates (SR-44).
const prefixes = "eq ne gt lt ge le sa eb ap"

var (
	dateForm = regexp.MustCompile(`^([a-z]{2})?([0-9].*)$`)
	// lostPlus is a zone whose plus sign a form decoder has turned into a space (KO-35, A-71).
	lostPlus = regexp.MustCompile(` ([0-9]{2}:[0-9]{2})$`)
)

// date reads a date with or without a prefix, such as ge2026-03-01.
func (b *builder) date(p conformance.Param, v query.Value) (Node, string) {
	loc := b.set.Zone
	if !p.Column && p.Element != "instant" {
		loc = index.Zone() // as for index entries without a zone
	}
	compare, problem := comparison(whole(v), loc)
	if problem != "" {
		return nil, problem
	}
	if p.Column {
		return Updated{Compare: compare}, ""
	}
	return Date{Param: p.ID, Compare: compare}, ""
}

func comparison(text string, loc *time.Location) (Comparison, string) {
	parts := dateForm.FindStringSubmatch(text)
	if parts == nil || !strings.Contains(prefixes, parts[1]) {
		return Comparison{}, "write a date with one of the prefixes " + prefixes + " or none, such as ge2026-03-01"
	}
	period, err := fhir.ParseDate(lostPlus.ReplaceAllString(parts[2], "+$1"), loc)
	if err != nil {
		return Comparison{}, "write a year, month, day or time that exists, such as 2026, 2026-03-01 or 2026-03-01T09:30:00Z"
	}
	switch prefix := Prefix(parts[1]); prefix {
	case "":
		return Comparison{EQ, period}, ""
	case AP:
		return Comparison{AP, widened(period)}, ""
	default:
		return Comparison{prefix, period}, ""
	}
}

// widened returns the period extended by its own length at both ends: about 2010 is 2009 to
// 2011. FHIR leaves the range to the server. This one does not depend on the current time,
// so the same filter always has the same plan.
func widened(p fhir.Period) fhir.Period {
	length := p.To - p.From
	return fhir.Period{From: p.From - length, To: p.To + length}
}
