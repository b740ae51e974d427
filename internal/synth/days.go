package synth

// op is a kind of change of a record.
type op string

const (
	opCreate     op = "create"
	opUpdate     op = "update"
	opSuppress   op = "suppress"
	opUnsuppress op = "unsuppress"
	opDeactivate op = "deactivate"
	opReactivate op = "reactivate"
	opMove       op = "move"
	opRemove     op = "remove"
)

// dailyOps lists the changes of a day in ppm of all records, in the order in which they are
// drawn.
var dailyOps = []struct {
	op   op
	rate int
}{
	{opCreate, 500}, {opUpdate, 4000}, {opSuppress, 100}, {opUnsuppress, 50},
	{opDeactivate, 300}, {opReactivate, 50}, {opMove, 200}, {opRemove, 20},
}

// change is one line of changes.jsonl, with the record after the change.
type change struct {
	op     op
	before int // version, or 0 for a new record
	after  record
}

// dayDraw draws the changes of one day.
type dayDraw struct {
	c       *census
	day     int
	s       stream
	order   permutation // of all records except Provenance
	next    int
	changed map[int]bool
	changes []change
}

// advance draws the changes of a day and applies them to the census. Days must be
// consecutive, starting from 1.
func (c *census) advance(dayNumber int) []change {
	p := c.p
	d := &dayDraw{c: c, day: dayNumber, s: p.stream(aspectDay, kindCount, dayNumber), changed: map[int]bool{}}
	d.order = newPermutation(p.total(), p.stream(aspectDay, organization, dayNumber))
	d.networks()
	all := p.total() + p.count[provenance]
	for _, daily := range dailyOps {
		for range quota(dayNumber, all*daily.rate) {
			d.one(daily.op)
		}
	}
	return d.changes
}

// total is the number of records of day 0 without Provenance.
func (p *Plan) total() int { return p.base[role] + p.count[role] }

// quota returns the number of changes on a day for a rate in millionths per day. On day 1
// it is at least one.
func quota(dayNumber, millionths int) int {
	upTo := func(d int) int { return (d*millionths + 999_999) / 1_000_000 }
	return upTo(dayNumber) - upTo(dayNumber-1)
}

// networks suppresses the children of one network organisation on the first day of each
// week, and removes the suppression on the third.
func (d *dayDraw) networks() {
	week := (d.day - 1) / 7
	s := d.c.p.stream(aspectDay, location, week)
	first, n := anchorOrgs, 0
	for first+n < len(d.c.p.arch) && d.c.p.arch[first+n] == archNetwork {
		n++
	}
	if n == 0 {
		return
	}
	org := first + s.n(n)
	switch f := d.c.flags[organization][org]; {
	case d.day%7 == 1 && f&suppressed == 0:
		d.apply(opSuppress, org, func(r *record) { r.flags |= suppressed | selfShown })
	case d.day%7 == 3 && f&suppressed != 0:
		d.apply(opUnsuppress, org, func(r *record) { r.flags &^= suppressed | variants })
	}
}

// one makes one change of a kind, or none if no record is suitable.
func (d *dayDraw) one(what op) {
	if what == opCreate {
		k, _ := d.c.p.locate(d.s.n(d.c.p.total()))
		d.create(k, nil)
		return
	}
	position, ok := d.candidate(what)
	if !ok {
		return
	}
	switch what {
	case opUpdate:
		d.apply(what, position, func(r *record) { r.content++ })
		k, i := d.c.p.locate(position)
		d.create(provenance, func(r *record) { r.target.kind, r.target.index, r.target.set = k, i, true })
	case opSuppress:
		d.apply(what, position, func(r *record) { r.flags |= suppressed | drawVariant(&d.s, r.kind) })
	case opUnsuppress:
		d.apply(what, position, func(r *record) { r.flags &^= suppressed | variants })
	case opDeactivate:
		d.apply(what, position, func(r *record) { r.flags |= inactive })
	case opReactivate:
		d.apply(what, position, func(r *record) { r.flags &^= inactive | suspended })
	case opMove:
		d.apply(what, position, func(r *record) { r.moved++ })
	case opRemove:
		d.remove(position)
	}
}

// candidate returns the next record in the day's permutation that is suitable for a change.
func (d *dayDraw) candidate(what op) (int, bool) {
	for ; d.next < d.c.p.total(); d.next++ {
		position := d.order.at(d.next)
		if k, i := d.c.p.locate(position); !d.changed[position] && d.fits(what, k, i) {
			d.next++
			return position, true
		}
	}
	return 0, false
}

// fits reports whether a record is suitable for a change.
func (d *dayDraw) fits(what op, k kind, i int) bool {
	p, f := d.c.p, d.c.flags[k][i]
	if f&removed != 0 || p.protected(k, i) {
		return false
	}
	switch what {
	case opUpdate:
		return k != location || !p.isCoverage(i)
	case opSuppress:
		return f&suppressed == 0
	case opUnsuppress:
		return f&suppressed != 0
	case opDeactivate:
		return f&inactive == 0
	case opReactivate:
		return f&inactive != 0
	case opMove:
		return p.movable(k, i)
	case opRemove:
		return f&touched == 0 && p.removable(k, i)
	}
	return false
}

// movable reports whether a role can move to another service, or an organisation to another
// parent.
func (p *Plan) movable(k kind, i int) bool {
	switch k {
	case organization:
		return p.parent[i] >= 0
	case role:
		_, n := span(p.firstSvc, p.roleOrg(i))
		return n > 1
	}
	return false
}

// removable reports whether only a Provenance about the record may refer to it.
func (p *Plan) removable(k kind, i int) bool {
	switch k {
	case practitioner:
		return p.slots[i] == 0
	case role:
		return int(p.firstRole[owner(p.firstRole, i)]) != i
	}
	return false
}

// at draws a time on the day, later than all times of earlier days.
func (d *dayDraw) at() int64 { return lastDay + int64(d.day-1)*day + 1 + int64(d.s.n(int(day-1))) }

// current returns the current version of a record.
func (c *census) current(position int) record {
	if r, ok := c.touched[position]; ok {
		return r
	}
	return c.p.original(c.p.locate(position))
}

// apply changes a record.
func (d *dayDraw) apply(what op, position int, edit func(*record)) {
	r := d.c.current(position)
	before := r.version
	edit(&r)
	r.version++
	r.updated = d.at()
	d.changed[position] = true
	d.c.touched[position] = r
	d.c.flags[r.kind][r.index] = r.flags | touched
	d.changes = append(d.changes, change{op: what, before: before, after: r})
}

// create creates a record.
func (d *dayDraw) create(k kind, edit func(*record)) {
	c := d.c
	r := c.p.original(k, c.p.count[k]+c.made[k])
	r.updated = d.at()
	if edit != nil {
		edit(&r)
		r.updated = d.changes[len(d.changes)-1].after.updated // a Provenance has the time of its target
		c.targets = append(c.targets, struct {
			kind  kind
			index int
		}{r.target.kind, r.target.index})
	}
	c.made[k]++
	c.flags[k] = append(c.flags[k], touched)
	d.changes = append(d.changes, change{op: opCreate, after: r})
}

// remove removes a record and the Provenance about it.
func (d *dayDraw) remove(position int) {
	d.apply(opRemove, position, func(r *record) { r.flags |= removed })
	p := d.c.p
	about := p.perm.provenance.position(position)
	if about >= p.count[provenance] {
		return
	}
	d.c.flags[provenance][about] |= removed
	r := p.original(provenance, about)
	r.flags = removed
	d.changes = append(d.changes, change{op: opRemove, before: 1, after: r})
}
