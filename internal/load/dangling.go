package load

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"muster/internal/fhir"
	"muster/internal/humanize"
	"muster/internal/store"

	"github.com/valyala/fastjson"
)

// DanglingGroup counts the dangling references of one member of a type to a type.
type DanglingGroup struct {
	Member  string // such as Location.managingOrganization
	To      string // type of the targets, or "a urn:"
	Count   int64
	Example string // a resource that has one: Type/id
}

// maxDanglingGroups bounds the groups of a summary. There are fewer, unless references to any types
// are made up.
const maxDanglingGroups = 100

// danglingSummary groups dangling references. Its zero value is ready to use.
type danglingSummary struct {
	groups map[[2]string]*DanglingGroup
	others int64 // in groups beyond the maximum
}

// aURN is the target of references by a urn: that is not the fullUrl of an entry.
const aURN = "a urn:"

// add counts a reference from a member of a resource.
func (s *danglingSummary) add(from *committed, member, to string) {
	key := [2]string{from.t.String() + "." + member, to}
	group := s.groups[key]
	if group == nil {
		if len(s.groups) == maxDanglingGroups {
			s.others++
			return
		}
		if s.groups == nil {
			s.groups = map[[2]string]*DanglingGroup{}
		}
		group = &DanglingGroup{Member: key[0], To: key[1], Example: from.t.String() + "/" + from.id}
		s.groups[key] = group
	}
	group.Count++
}

// list returns the groups, the largest first. A group of all others has no names.
func (s *danglingSummary) list() (list []DanglingGroup) {
	for _, g := range s.groups {
		list = append(list, *g)
	}
	slices.SortFunc(list, func(a, b DanglingGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Member, b.Member), cmp.Compare(a.To, b.To))
	})
	if s.others > 0 {
		list = append(list, DanglingGroup{Count: s.others})
	}
	return list
}

// removedName is the name of a resource that a load removes.
type removedName struct {
	t  fhir.Type
	id string
}

func (n removedName) reference() fhir.Reference {
	return fhir.Reference{Type: n.t.String(), ID: n.id}
}

// removal is the last removal of a resource in a load.
type removal struct {
	sequence int // among pending references and removals
	file     string
	line     int
}

// remove remembers that a resource was removed: the references that it had are no longer dangling,
// and those to it may be.
func (c *crossChecks) remove(l *committed) {
	name := removedName{l.t, l.id}
	if _, known := c.removed[name]; !known && len(c.removed) == c.maxRemoved {
		c.overlooked++
		return
	}
	c.sequence++
	c.removed[name] = removal{c.sequence, l.file, l.line}
}

// reportDangling reports the references that are still pending, in the order of the source, and
// then those to removed resources.
func (c *crossChecks) reportDangling(ctx context.Context, report func(Rejected) error) error {
	dangling := make([]*pendingRef, 0, c.pendingCount)
	for _, ref := range c.pending {
		for ; ref != nil; ref = ref.next {
			dangling = append(dangling, ref)
		}
	}
	slices.SortFunc(dangling, func(x, y *pendingRef) int { return x.sequence - y.sequence })
	for _, ref := range dangling {
		l := committed{file: ref.origin.file, line: ref.line, t: ref.origin.t, id: ref.id}
		if ref.sequence <= c.removed[removedName{l.t, l.id}].sequence {
			continue
		}
		if err := c.reportOne(&l, ref.origin.member, ref.origin.to, report); err != nil {
			return err
		}
	}
	if err := c.reportLeft(ctx, report); err != nil || c.overlooked == 0 {
		return err
	}
	return report(Rejected{Kind: NotFollowed, Reason: fmt.Sprintf("the load removes more than %s resources: references to %s of them were not looked for: run 'muster check', which counts them",
		humanize.Int(int64(c.maxRemoved)), humanize.Int(int64(c.overlooked)))})
}

// reportOne counts and reports a dangling reference.
func (c *crossChecks) reportOne(l *committed, member, to string, report func(Rejected) error) error {
	c.dangling.add(l, member, to)
	return report(l.warning(Dangling, member+": the "+to+" it refers to is not in the directory"))
}

const (
	removedPerCall = 1000    // removed resources that one statement looks for
	bodiesPerCall  = 500     // resources that one statement reads
	maxReferrers   = 100_000 // resources that refer to those of one statement, by one search parameter
)

// reportLeft reports the references to the resources that the load has removed and that are
// still missing, as far as search parameters find them, by type and in the order of the removals.
// Those that are pending are reported already.
func (c *crossChecks) reportLeft(ctx context.Context, report func(Rejected) error) error {
	byType := map[fhir.Type][]removedName{}
	for name := range c.removed {
		byType[name.t] = append(byType[name.t], name)
	}
	for _, t := range fhir.Types() {
		names := byType[t]
		slices.SortFunc(names, func(x, y removedName) int { return c.removed[x].sequence - c.removed[y].sequence })
		for chunk := range slices.Chunk(names, removedPerCall) {
			if err := c.reportLeftTo(ctx, t, chunk, report); err != nil {
				return err
			}
		}
	}
	return nil
}

// reportLeftTo is reportLeft for resources of one type.
func (c *crossChecks) reportLeftTo(ctx context.Context, t fhir.Type, names []removedName, report func(Rejected) error) error {
	ids := make([]string, len(names))
	for n := range names {
		ids[n] = names[n].id
	}
	present, err := c.directory.Present(ctx, t, ids)
	if err != nil {
		return err
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return present[id] })
	if len(ids) == 0 {
		return nil
	}
	keys, err := c.referrers(ctx, t, ids, report)
	if err != nil {
		return err
	}
	missing := map[fhir.Reference]removal{}
	for _, id := range ids {
		name := removedName{t, id}
		missing[name.reference()] = c.removed[name]
	}
	reported := c.pendingTo(missing)
	var parser fastjson.Parser
	links := referenceResolver{bases: c.extractor.Bases()}
	for chunk := range slices.Chunk(keys, bodiesPerCall) {
		err := c.directory.Bodies(ctx, chunk, func(row store.Row, line []byte) error {
			v, err := parser.ParseBytes(line)
			if err != nil {
				return fmt.Errorf("the stored line of %v/%s is damaged: run 'muster check': %w", row.Key.Type(), row.ID, err)
			}
			return links.each(v, func(l link) error {
				at, ok := missing[l.to]
				from := committed{file: at.file, line: at.line, t: row.Key.Type(), id: row.ID}
				if !ok || reported[danglingLink{from.t, from.id, l}] {
					return nil
				}
				return c.reportOne(&from, l.member, l.to.Type, report)
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// referrers returns the keys of the resources that refer to one of the ids, in ascending order.
func (c *crossChecks) referrers(ctx context.Context, t fhir.Type, ids []string, report func(Rejected) error) (keys []store.RowKey, err error) {
	for _, p := range c.extractor.References() {
		if !slices.Contains(p.Targets(), t) {
			continue
		}
		rows, err := c.directory.Referrers(ctx, p.Base, p.ID, t, ids, maxReferrers+1)
		if err != nil {
			return nil, err
		}
		if len(rows) > maxReferrers {
			err := report(Rejected{Kind: NotFollowed, Reason: fmt.Sprintf("more than %s references %v.%s lead to removed resources: run 'muster check', which counts all",
				humanize.Int(maxReferrers), p.Base, p.Code)})
			if err != nil {
				return nil, err
			}
		}
		for _, row := range rows {
			keys = append(keys, row.Key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

// danglingLink is a reference of a resource.
type danglingLink struct {
	t  fhir.Type
	id string
	link
}

// pendingTo returns the pending references to one of the targets.
func (c *crossChecks) pendingTo(targets map[fhir.Reference]removal) map[danglingLink]bool {
	found := map[danglingLink]bool{}
	for to := range targets {
		for ref := c.pending[c.hash(to)]; ref != nil; ref = ref.next {
			found[danglingLink{ref.origin.t, ref.id, link{ref.origin.member, to}}] = true
		}
	}
	return found
}
