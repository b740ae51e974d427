package fhir

// TypeSet is a set of resource types. The zero value is the empty set. Sets are equal if and only
// if they hold the same types.
type TypeSet uint8

// TypesOf returns the set of the given types.
func TypesOf(types ...Type) (s TypeSet) {
	for _, t := range types {
		s |= 1 << t
	}
	return s
}

// AllTypes returns the set of the seven types.
func AllTypes() TypeSet { return TypesOf(Types()...) }

// Has reports whether t is in the set.
func (s TypeSet) Has(t Type) bool { return s&TypesOf(t) != 0 }

// Covers reports whether all types of other are in the set.
func (s TypeSet) Covers(other TypeSet) bool { return other&^s == 0 }

// Without returns the set without the types of other.
func (s TypeSet) Without(other TypeSet) TypeSet { return s &^ other }

// Types returns the types of the set in loading order.
func (s TypeSet) Types() (list []Type) {
	for _, t := range Types() {
		if s.Has(t) {
			list = append(list, t)
		}
	}
	return list
}

// String returns the names of the types, separated by commas.
func (s TypeSet) String() string { return Names(s.Types()) }
