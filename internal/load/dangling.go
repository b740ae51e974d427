package load

import (
	"cmp"
	"slices"
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
