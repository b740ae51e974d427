package synth

import (
	"context"
	"io"
)

// census is the state of all records on one day: the flags of each, and the whole record of
// those that were changed or created after day 0.
type census struct {
	p       *Plan
	flags   [kindCount][]flags
	touched map[int]record // by position among all records except Provenance
	made    [kindCount]int // number of records created after day 0
	users   []users        // of each endpoint, on the day that is written
	targets []struct {
		kind  kind
		index int
	} // of created Provenance
}

func newCensus(p *Plan) *census {
	c := &census{p: p, touched: map[int]record{}}
	for k := range c.flags {
		c.flags[k] = make([]flags, p.count[k])
		for i := range c.flags[k] {
			c.flags[k][i] = p.flagsOf(kind(k), i)
		}
	}
	return c
}

// users says which records refer to an endpoint.
type users struct{ some, visible bool }

// findUsers finds the records that refer to the endpoints. A removed one counts if it was
// hidden, since its removal must not show the endpoint.
func (c *census) findUsers() {
	c.users = make([]users, len(c.flags[endpoint]))
	note := func(k kind, i, key int, visible, removed bool) {
		if ep, ok := c.p.endpointOf(k, i, key); ok && !(visible && removed) {
			c.users[ep].some = true
			c.users[ep].visible = c.users[ep].visible || visible
		}
	}
	for _, k := range []kind{location, service, role} {
		for i, f := range c.flags[k] {
			note(k, i, i, f&(inactive|suppressed) == 0 && c.ownersOpen(k, i), f&removed != 0)
		}
		for n := range c.p.dirtyCount(k) {
			r := c.p.dirty(k, n)
			note(k, r.index, r.key, c.dirtyVisible(&r), false)
		}
	}
}

// own reports whether the record's own flags allow it to be visible.
func (c *census) own(k kind, i int) bool { return c.flags[k][i]&(inactive|suppressed|removed) == 0 }

// orgOpen reports whether records of an organisation may be visible (SU-04, SU-11). Records
// without an organisation may.
func (c *census) orgOpen(org int) bool { return org < 0 || c.own(organization, org) }

// visible reports whether a search may return a record, given its own flags and those of
// other records (VI-01, SU-03 to SU-06, SU-11, A-01, A-24).
func (c *census) visible(k kind, i int) bool {
	if k == organization {
		f := c.flags[k][i]
		return f&inactive == 0 && (f&suppressed == 0 || f&variants == selfShown)
	}
	if !c.own(k, i) {
		return false
	}
	switch k {
	case endpoint:
		return c.ownersOpen(k, i) && (!c.users[i].some || c.users[i].visible)
	case location, service, role:
		return c.ownersOpen(k, i)
	case provenance:
		if n := i - c.p.count[provenance]; n >= 0 {
			return c.visible(c.targets[n].kind, c.targets[n].index)
		}
		target, index := c.p.provenanceTarget(i)
		return c.visible(target, index)
	}
	return true
}

// ownersOpen reports whether the organisation of a record, and the practitioner of a role, allow
// it to be visible.
func (c *census) ownersOpen(k kind, i int) bool {
	switch k {
	case location:
		return c.orgOpen(c.p.locationOrg(i))
	case endpoint:
		return c.orgOpen(c.p.endpointOrg(i))
	case service:
		return c.orgOpen(c.p.serviceOrg(i))
	case role:
		base := c.p.roleBase(i)
		return c.orgOpen(owner(c.p.firstRole, base)) && c.own(practitioner, int(c.p.rolePrac[base]))
	}
	return true
}

// dirtyVisible reports whether a search may return a broken record, which is loaded with a
// warning. One with a status other than active is hidden, and so is a Provenance about nothing. An
// organisation or a practitioner that does not exist hides nothing.
func (c *census) dirtyVisible(r *record) bool {
	switch {
	case r.fault.is(suspendedLocation), r.kind == provenance:
		return false
	case r.kind == service:
		return c.orgOpen(c.p.serviceOrg(r.index))
	case r.kind == role:
		return c.orgOpen(c.p.roleOrg(r.index))
	}
	return true
}

// write writes "Type/id" of every visible record, in loading order.
func (c *census) write(ctx context.Context, w io.Writer) error {
	c.findUsers()
	for k := range kindCount {
		err := c.p.inChunks(ctx, w, len(c.flags[k]), func(e *enc, i int) {
			if c.visible(k, i) {
				c.p.idLine(e, k, i)
			}
		})
		if err != nil {
			return err
		}
		e := new(enc)
		for n := range c.p.dirtyCount(k) {
			if r := c.p.dirty(k, n); c.dirtyVisible(&r) {
				c.p.idLine(e, k, r.key)
			}
		}
		if _, err := w.Write(e.b); err != nil {
			return err
		}
	}
	return nil
}

// idLine appends a line with Type/id.
func (p *Plan) idLine(e *enc, k kind, key int) {
	e.b = append(e.b, p.referenceText(k, key)...)
	e.b = append(e.b, '\n')
}
