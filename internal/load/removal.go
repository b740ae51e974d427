package load

import (
	"errors"
	"io"
	"strings"

	"muster/internal/fhir"
	"muster/internal/store"

	"github.com/valyala/fastjson"
)

// BadChange is the kind of refusal for a line of a list of changes or removals.
const BadChange Kind = "change that cannot be applied"

// remove adds the removal of a resource.
func (b *batch) remove(i item, t fhir.Type, id string) {
	b.resources++
	b.changes = append(b.changes, store.Change{Type: t, ID: id, Remove: true})
	b.accepted = append(b.accepted, committed{file: i.file, line: i.line, t: t, id: id, change: len(b.changes) - 1, removal: true})
}

// prepareRemoval prepares a line that names a resource to be removed.
func (b *batch) prepareRemoval(i item) {
	t, id, r := parseRemoval(string(i.text))
	if r != nil {
		b.refuse(i, candidate{}, r)
		return
	}
	b.remove(i, t, id)
}

// parseRemoval reads Type/id.
func parseRemoval(text string) (t fhir.Type, id string, r *Refusal) {
	named, err := fhir.ParseReference(text)
	if err != nil || strings.Count(text, "/") != 1 {
		return 0, "", refuse(BadChange, "this is not the type and the id of a resource: write Type/id")
	}
	t, known := fhir.ParseType(named.Type)
	if !known {
		return 0, "", refuse(OtherType, "the directory holds only %s", fhir.Names(fhir.Types()))
	}
	return t, named.ID, nil
}

// readRemovals reads a list of removed resources, one Type/id on each line.
func (s *inputReader) readRemovals(name string, r io.Reader) error {
	lines := fhir.NewLineReader(r)
	for {
		text, err := lines.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, fhir.ErrLineTooLong):
			err = s.emit(piece{file: name, line: lines.Line(), refusal: refuse(TooLarge, "%v", fhir.ErrLineTooLong), candidate: &candidate{}})
		case err != nil:
			return &brokenInput{name, lines.Line(), nil, err}
		default:
			err = s.emit(piece{file: name, line: lines.Line(), text: text, removal: true})
		}
		if err != nil {
			return err
		}
	}
}

// prepareDelete prepares a Bundle entry that deletes a resource.
func (b *batch) prepareDelete(p *preparer, i item, e *fastjson.Value, aliases []candidate, path string) {
	t, id, r := checkDelete(p.resolver.bases, e)
	switch resource := e.Get("resource"); {
	case r == nil:
		b.remove(i, t, id)
	case resource == nil:
		b.refuseUnfilledEntry(i, e, aliases, r.within(path))
	default:
		b.refuseValue(i, resource, aliases, 0, r.within(path))
	}
}

// checkDelete returns the resource that an entry with the method DELETE names.
func checkDelete(bases []string, e *fastjson.Value) (t fhir.Type, id string, r *Refusal) {
	url := fhir.BelowBase(string(e.GetStringBytes("request", "url")), bases...)
	switch {
	case e.Exists("resource"):
		return 0, "", refuse(BadEntry, "the entry deletes a resource and has one: leave it out").within("resource")
	case strings.Contains(url, "?"):
		return 0, "", refuse(BadEntry, "this is a conditional delete: a load does not search: write the type and the id of the resource as Type/id").within("request.url")
	}
	if t, id, r = parseRemoval(url); r != nil {
		return 0, "", r.within("request.url")
	}
	return t, id, withoutConditions(e)
}

// checkChange checks the request of an entry of a load that applies changes, except a DELETE.
func checkChange(e *fastjson.Value) *Refusal {
	switch method := string(e.GetStringBytes("request", "method")); {
	case !e.Exists("request"):
		return nil
	case method != "PUT":
		return refuse(BadEntry, "this is not PUT or DELETE, the only methods that a load with --changes applies: write one of them").within("request.method")
	}
	return withoutConditions(e)
}

// withoutConditions refuses the conditions of a request.
func withoutConditions(e *fastjson.Value) *Refusal {
	if names := conditions(e); len(names) > 0 {
		return refuse(BadEntry, "a load does not evaluate conditions: leave it out").within("request." + names[0])
	}
	return nil
}
