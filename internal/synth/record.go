package synth

import "time"

// flags are the flags that are set explicitly on a record.
type flags uint8

const (
	inactive flags = 1 << iota
	suppressed
	variant1 // of a suppression: see the two groups below
	variant2
	suspended // Endpoint only, instead of off
	removed
	touched // changed or created after day 0

	variants = variant1 | variant2
)

// Variants of a suppression: whether an organisation hides itself, and who requested the
// suppression of a role.
const (
	selfHidden flags = 0
	selfShown  flags = variant1
	selfUnsaid flags = variant2

	byOrganisation flags = 0
	byPractitioner flags = variant1
	byBoth         flags = variant2
)

// record is one version of one record. Its bytes depend only on it and the plan.
type record struct {
	kind    kind
	index   int // in the plan
	key     int // identity: the index, or another number for a broken record
	version int
	content int // number of updates of the content
	moved   int // number of moves to another service or parent
	flags   flags
	updated int64 // milliseconds since 1970
	fault   *fault

	// target is the subject of a Provenance created after day 0.
	target struct {
		kind  kind
		index int
		set   bool
	}
}

// original returns version 1 of a record. Records at or beyond the count of their type are
// created after day 0; the caller sets their time.
func (p *Plan) original(k kind, index int) record {
	r := record{kind: k, index: index, key: index, version: 1}
	if index < p.count[k] {
		r.flags = p.flagsOf(k, index)
		r.updated = p.updatedAt(k, index)
	}
	return r
}

// Shares of the flags per type, in ppm.
var (
	inactiveShare   = [kindCount]int{location: 100_000, endpoint: 150_000, service: 120_000, practitioner: 60_000, role: 150_000}
	suppressedShare = [kindCount]int{organization: 15_000, location: 10_000, endpoint: 5_000, service: 10_000, practitioner: 25_000, role: 30_000}
)

// flagsOf draws the flags of a record of day 0. The archetype decides whether an
// organisation is inactive, so that its size fits.
func (p *Plan) flagsOf(k kind, index int) flags {
	if k == provenance || p.protected(k, index) {
		return 0
	}
	var f flags
	s := p.stream(aspectState, k, index)
	if s.chance(inactiveShare[k]) || k == organization && p.arch[index] == archInactive {
		f |= inactive
		if k == endpoint && s.chance(200_000) {
			f |= suspended
		}
	}
	if s.chance(suppressedShare[k]) {
		f |= suppressed | drawVariant(&s, k)
	}
	return f
}

// drawVariant draws the variant of a suppression.
func drawVariant(s *stream, k kind) flags {
	draw := s.n(10)
	switch {
	case k == organization && draw < 5:
		return selfHidden
	case k == organization && draw < 8:
		return selfShown
	case k == organization:
		return selfUnsaid
	case k == role && draw < 6:
		return byOrganisation
	case k == role && draw < 9:
		return byPractitioner
	case k == role:
		return byBoth
	}
	return 0
}

// protected reports whether a record is always active and never suppressed: the special
// cases, and all records that affect the visibility of the shared endpoint.
func (p *Plan) protected(k kind, index int) bool {
	switch k {
	case organization:
		return index < anchorOrgs || index >= p.diagnostic[0] && index < p.diagnostic[1]
	case location:
		return index < anchorOrgs-1 || index == p.locations
	case endpoint:
		return index == endpointBalmain || index == p.sharedEndpoint
	case service:
		return index < int(p.firstSvc[orgBalmain+1])
	case role:
		return index < int(p.firstRole[orgBalmain+1])
	case practitioner:
		for r := range int(p.firstRole[orgBalmain+1]) {
			if int(p.rolePrac[r]) == index {
				return true
			}
		}
	}
	return false
}

const (
	minute = int64(60_000)
	hour   = 60 * minute
	day    = 24 * hour
)

// lastDay is the instant that ends day 0, the day of the first export: midnight before
// 20 August 2026 in UTC. It is fixed and does not depend on the clock. The changes of day d
// follow within the d-th period of 24 hours after it.
var lastDay = time.Date(2026, 8, 20, 0, 0, 0, 0, time.UTC).UnixMilli()

// bulkDays lists the days before lastDay on which sources were loaded in bulk. Many records
// share an instant.
var bulkDays = [6]int64{690, 540, 410, 300, 190, 120}

// updatedAt draws the time of version 1 of a record.
func (p *Plan) updatedAt(k kind, index int) int64 {
	s := p.stream(aspectTime, k, index)
	if k == provenance {
		target, i := p.provenanceTarget(index)
		return p.updatedAt(target, i) + int64(s.n(1_500))
	}
	var back int64
	switch draw := s.n(100); {
	case draw < 35:
		return lastDay - bulkDays[s.n(6)]*day + 16*hour + int64(s.n(8))*minute
	case draw < 80:
		back = int64(7 + s.n(723))
	case draw < 95:
		back = int64(7 + s.n(83))
	default:
		back = int64(1 + s.n(6))
	}
	return workingHour(&s, lastDay-back*day)
}

// workingHour draws an instant between 8:00 and 18:00 in eastern Australia, on the given
// day or the weekday before it.
func workingHour(s *stream, midnight int64) int64 {
	switch time.UnixMilli(midnight).UTC().Weekday() {
	case time.Saturday:
		midnight -= day
	case time.Sunday:
		midnight -= 2 * day
	}
	return midnight - 2*hour + int64(s.n(int(10*hour)))
}

// locationOrg returns the organisation that manages a location, or -1. A coverage area
// belongs to a home care organisation or to none.
func (p *Plan) locationOrg(index int) int {
	s := p.stream(aspectLink, location, index)
	switch {
	case index < p.locations:
		return owner(p.firstLoc, index)
	case index >= p.count[location]:
		return owner(p.firstLoc, s.n(p.locations))
	case index == p.locations:
		return orgBalmain
	}
	if n := p.homeCare[1] - p.homeCare[0]; n > 0 && index > p.locations+9 && s.chance(600_000) {
		return p.homeCare[0] + s.n(n)
	}
	return -1
}

// isCoverage reports whether a location is a coverage area.
func (p *Plan) isCoverage(index int) bool { return index >= p.locations && index < p.count[location] }

// serviceOrg returns the organisation of a service.
func (p *Plan) serviceOrg(index int) int {
	if index < p.count[service] {
		return owner(p.firstSvc, index)
	}
	s := p.stream(aspectLink, service, index)
	return owner(p.firstLoc, s.n(p.locations))
}

// serviceLocation returns the location of a service of an organisation.
func (p *Plan) serviceLocation(index, org int) int {
	start, n := span(p.firstLoc, org)
	s := p.stream(aspectLink, service, index)
	j := s.n(n)
	if first, services := span(p.firstSvc, org); index < first+services {
		j = index - first
		if org == orgBig {
			// Every third service is at the largest location.
			if j%3 == 0 {
				return start
			}
			return start + 1 + j%(n-1)
		}
	}
	if j >= n {
		j = min(s.n(n), s.n(n))
	}
	return start + j
}

// roleBase returns the role of day 0 whose practitioner and organisation a role has: the
// role itself, unless it was created after day 0.
func (p *Plan) roleBase(index int) int {
	if index < p.count[role] {
		return index
	}
	s := p.stream(aspectLink, role, index)
	return s.n(p.count[role])
}

// roleOrg returns the organisation of a role.
func (p *Plan) roleOrg(index int) int { return owner(p.firstRole, p.roleBase(index)) }

// roleService returns the service of a role of an organisation after the given number of
// moves.
func (p *Plan) roleService(index, org, moved int) int {
	start, n := span(p.firstSvc, org)
	s := p.stream(aspectLink, role, index+moved<<32)
	if index >= p.count[role] || moved > 0 {
		return start + s.n(n)
	}
	r := index - int(p.firstRole[org])
	switch {
	case org == orgBig && r < p.opts.Scale.of(9_000):
		return start + s.n((n+2)/3)*3
	case r < n:
		return start + r
	}
	return start + min(s.n(n), s.n(n))
}

// endpointOrg returns the organisation of an endpoint.
func (p *Plan) endpointOrg(index int) int {
	if index < p.count[endpoint] {
		return owner(p.firstEnd, index)
	}
	s := p.stream(aspectLink, endpoint, index)
	return owner(p.firstLoc, s.n(p.locations))
}

// provenanceTarget returns the subject of a Provenance of day 0. No two have the same
// subject.
func (p *Plan) provenanceTarget(index int) (kind, int) {
	return p.locate(p.perm.provenance.at(index))
}

// locate returns the record at a position among all records except Provenance.
func (p *Plan) locate(position int) (kind, int) {
	k := kind(len(p.base) - 1)
	for p.base[k] > position {
		k--
	}
	return k, position - p.base[k]
}
