package store

import (
	"strconv"

	"muster/internal/fhir"
	"muster/internal/search/index"
)

// Rules say how the state of a resource follows from that of others. A driver finds the others and
// writes what the rules return; it has no rule of its own. Implementations are safe for use by
// several goroutines.
type Rules interface {
	// Relations returns the references by which states depend on each other.
	Relations() []Relation

	// Inherit returns the state that a resource has from its owners, given with their own
	// states, and from the effective states of its users. The result does not depend on the
	// order.
	Inherit(owners []Owner, users []index.Visibility) index.Visibility

	// Compose returns the document of a resource as it is served, and its index entries, when
	// the resource inherits a state. own is its document without that.
	Compose(t fhir.Type, id string, own Document, inherited index.Visibility) (Document, []index.Entry, error)

	// Recompose returns the document of a resource that inherits the state after, as Compose does,
	// and by which index entries it differs from the one that inherits the state before.
	Recompose(t fhir.Type, id string, own Document, before, after index.Visibility) (Document, index.Difference, error)
}

// Relation is a reference of a resource by which a state depends on another one.
type Relation struct {
	Kind  RelationKind
	From  fhir.Type // the type of the resource that has the reference
	Param int       // the number of the search parameter that indexes it
	To    fhir.Type // the type of the resource to which it leads
}

// RelationKind says which state depends on which.
type RelationKind uint8

// The kinds. Owners have no state from others, users have it from owners only, and what is used
// has it from owners and users.
const (
	// BelongsTo: the resource has the state of the one to which its reference leads, its owner.
	BelongsTo RelationKind = 1 + iota
	// Uses: the resource to which the reference leads is hidden with the last of its users.
	Uses
	// IsAbout: the resource gets a new version when the state of the other one changes.
	IsAbout
)

// Owner is a resource that others belong to, with its own state.
type Owner struct {
	Type  fhir.Type
	State index.Visibility
}

// Head returns the beginning of a document of a resource, up to the opening of meta.
func Head(t fhir.Type, id string) []byte {
	head := append([]byte(`{"resourceType":"`), t.String()...)
	head = append(head, `","id":`...)
	head = strconv.AppendQuote(head, id) // an id has no character that is escaped
	return append(head, `,"meta":{`...)
}

// Document returns the document of a stored line of the version. ok is false if the line does not
// begin as a line of the version does.
func (r *Row) Document(line []byte) (d Document, ok bool) {
	head := r.head()
	if len(line) < len(head) || string(line[:len(head)]) != string(head) {
		return d, false
	}
	return Document{Head: Head(r.Key.Type(), r.ID), Tail: line[len(head):]}, true
}
