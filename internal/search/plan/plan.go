package plan

import (
	"slices"

	"muster/internal/fhir"
	"muster/internal/search/index"
)

// Plan is what to find: all resources of Type for which Root holds. Its conditions are over
// index entries, which package index defines, and row columns.
type Plan struct {
	Type fhir.Type
	Root Node
}

// Types returns the types of the resources that the plan reads: its own, and those that its links
// lead to.
func (p Plan) Types() []fhir.Type {
	types := []fhir.Type{p.Type}
	var add func(n Node)
	add = func(n Node) {
		switch n := n.(type) {
		case And:
			for _, child := range n {
				add(child)
			}
		case Or:
			for _, child := range n {
				add(child)
			}
		case Not:
			add(n.Node)
		case Chain:
			types = append(types, n.Type)
			add(n.Node)
		case Has:
			types = append(types, n.Type)
			add(n.Node)
		case AllVisible:
			types = append(types, n.Types...)
		}
	}
	add(p.Root)
	slices.Sort(types)
	return slices.Compact(types)
}

// Node is a condition on one resource. The set of node types is closed.
type Node interface{ node() }

// And holds when all of its nodes hold; the empty And always holds.
type And []Node

// Or holds when one of its nodes holds; the empty Or never holds.
type Or []Node

// Not holds when its node does not.
type Not struct{ Node Node }

// IDs holds for the resources with one of these ids (_id).
type IDs []string

// Updated holds when meta.lastUpdated meets the comparison (_lastUpdated).
type Updated struct{ Compare Comparison }

// Since holds when the version was committed strictly after the instant (VI-12).
// It is not the parameter _lastUpdated, which reads meta.lastUpdated.
type Since struct{ After fhir.Instant }

// Visible holds when the resource is active, if Active is set, and not suppressed, if
// NotSuppressed is set (VI-01, VI-04). It never holds while a cascade that reaches the resource
// is not finished.
type Visible struct{ Active, NotSuppressed bool }

// Hiding returns the flags of which a visible resource has none.
func (v Visible) Hiding() index.Visibility {
	flags := index.Pending
	if v.Active {
		flags |= index.Inactive
	}
	if v.NotSuppressed {
		flags |= index.Suppressed
	}
	return flags
}

// Token holds when the resource has a token entry of the parameter. A nil System
// means any system, a System of "" means no system (|code); a nil Code means any.
type Token struct {
	Param        int
	System, Code *string
}

// TokenPart holds when the resource has a token entry of the parameter whose code
// contains the Text, both folded (identifier-r5:contains). A nil System means any
// system. The parameter has an [index.TokenText] for each token.
type TokenPart struct {
	Param  int
	System *string
	Text   string
}

// String holds when the resource has a string entry of the parameter that starts with the
// folded Text, that equals Text exactly if Exact is set, or that contains the folded Text
// if Contains is set.
type String struct {
	Param    int
	Text     string
	Exact    bool
	Contains bool
}

// Date holds when the resource has a date entry of the parameter that meets the comparison.
type Date struct {
	Param   int
	Compare Comparison
}

// Reference holds when the resource has a reference entry of the parameter to the
// id. An empty Type means any type that the parameter may refer to, an empty ID any
// resource of the Type. At least one of the two is set.
type Reference struct {
	Param int
	Type  string
	ID    string
}

// URI holds when the resource has a uri entry of the parameter with the value.
type URI struct {
	Param int
	Value string
}

// Number holds when the resource has a number entry of the parameter that meets the
// comparison: EQ, NE, GT, LT, GE or LE.
type Number struct {
	Param  int
	Prefix Prefix
	Value  int64
}

// Near holds when the resource has a position entry of the parameter within Meters
// of the point, on the great circle, inclusive (SR-50).
type Near struct {
	Param  int
	Point  index.Position
	Meters float64
}

// Chain follows a reference forward: it holds when the resource has a reference entry of the
// parameter to a resource of Type that is in the directory and for which Node holds. A
// reference to several types is an Or of Chains.
type Chain struct {
	Param int
	Type  fhir.Type
	Node  Node
}

// Has follows a reference backward (_has): it holds when a resource of Type has a
// reference entry of the parameter Param to this resource, and Node holds for it.
type Has struct {
	Param int // a parameter of Type
	Type  fhir.Type
	Node  Node
}

// AllVisible holds when the resource has a reference entry of the parameter, and
// each such entry refers to a resource of one of the Types that is in the directory and
// for which Visible holds (VI-14: what a Provenance is about).
type AllVisible struct {
	Param   int
	Types   []fhir.Type
	Visible Visible
}

// Present holds when the resource has an entry of the parameter.
type Present struct {
	Param int
	Kind  index.Kind
}

// Comparison compares the period of an entry with Period by Prefix.
type Comparison struct {
	Prefix Prefix
	Period fhir.Period
}

// Prefix is a comparison prefix of FHIR search (SR-44).
type Prefix string

// The prefixes. The period of AP is already widened.
const (
	EQ Prefix = "eq" // the entry is within the period
	NE Prefix = "ne" // not EQ
	GT Prefix = "gt" // a part of the entry is after the period
	LT Prefix = "lt" // a part of the entry is before the period
	GE Prefix = "ge" // a part of the entry is in or after the period
	LE Prefix = "le" // a part of the entry is in or before the period
	SA Prefix = "sa" // the whole entry is after the period
	EB Prefix = "eb" // the whole entry is before the period
	AP Prefix = "ap" // the entry and the period overlap
)

func (And) node()        {}
func (Or) node()         {}
func (Not) node()        {}
func (IDs) node()        {}
func (Updated) node()    {}
func (Since) node()      {}
func (Visible) node()    {}
func (Token) node()      {}
func (String) node()     {}
func (Date) node()       {}
func (Reference) node()  {}
func (URI) node()        {}
func (Present) node()    {}
func (TokenPart) node()  {}
func (Number) node()     {}
func (Near) node()       {}
func (Chain) node()      {}
func (Has) node()        {}
func (AllVisible) node() {}

// Order is one key that a search is sorted by. Resources without a value come
// last in both directions; ties are broken by the next Order and at the end by id.
type Order struct {
	// By is a column (_id, _lastUpdated). If it is empty, Param and Kind select index
	// entries: ascending by the least entry of a resource, descending by its greatest.
	// Entries are ordered by folded text, code, start of the period, number, id of the
	// target, uri, or distance from the Point.
	By         Column
	Param      int
	Kind       index.Kind
	Point      *index.Position // from which distances are measured, for Kind Location (SR-51)
	Descending bool
}

// Column is a column of a resource's row by which a search can be sorted.
type Column string

// The columns.
const (
	ByID      Column = "_id"
	ByUpdated Column = "_lastUpdated"
)
