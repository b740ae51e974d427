package search

import (
	"slices"
	"strings"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/query"
)

// include reads _include and _revinclude (TR-01 to TR-05): Type:parameter or
// Type:parameter:Target. The modifier iterate is also accepted as recurse, its name in DSTU2.
func (r *resultReader) include(l query.Criterion, reverse bool) {
	iterate := l.Modifier == "iterate" || l.Modifier == "recurse"
	if l.Modifier != "" && !iterate {
		r.invalid(l.NameAt, "has the modifier %q, which %s does not take: write %s or %s:iterate", l.Modifier, l.Name, l.Name, l.Name)
		return
	}
	if l.Empty() {
		return // asks for nothing (SR-26)
	}
	if len(l.Values) != 1 {
		r.invalid(l.At, "has several values: write the parameter once for each include")
		return
	}
	value := l.Values[0]
	if problem := r.restrictedInclude(text(value)); problem != "" {
		r.refuse(fhir.CodeNotSupported, value.At, "%s", problem)
		return
	}
	parsed, err := r.reg.ParseInclude(text(value))
	if err != nil {
		r.invalid(value.At, "%s", err)
		return
	}
	next := Include{Include: parsed, Reverse: reverse, Iterate: iterate}
	if problem := r.may.CheckInclude(next.Source, next.Targets()); problem != "" {
		r.issues = append(r.issues, fhir.Issue{Code: fhir.CodeForbidden, Reason: fhir.ScopeMissing, Diagnostics: r.q.Place(value.At) + " " + problem})
		return
	}
	r.named |= fhir.TypesOf(next.Source)
	if targets := next.Targets(); len(targets) == 1 {
		r.named |= fhir.TypesOf(targets...)
	}
	if reverse && !iterate && !next.Reaches(r.q.Type) {
		r.invalid(value.At, "never refers to %s: use %s, or _revinclude:iterate after another include", r.q.Type, r.offered(true))
		return
	}
	if !slices.ContainsFunc(r.results.Includes, next.equals) {
		r.results.Includes = append(r.results.Includes, next)
	}
}

// restrictedInclude refuses an include by a parameter of any type that is restricted for
// privacy (SR-32).
func (r *resultReader) restrictedInclude(value string) string {
	parts := strings.SplitN(value, ":", 3)
	source, ok := fhir.ParseType(parts[0])
	if !ok || len(parts) < 2 {
		return ""
	}
	p, _ := r.reg.Param(source, parts[1])
	return policy.Restriction(source, parts[1], p)
}

func (i Include) equals(other Include) bool {
	return i.String() == other.String() && i.Reverse == other.Reverse && i.Iterate == other.Iterate
}

// offered lists the includes of the type that is searched, as what to use instead.
func (r *resultReader) offered(reverse bool) string {
	list := r.reg.Includes(r.q.Type)
	if reverse {
		list = r.reg.RevIncludes(r.q.Type)
	}
	if len(list) == 0 {
		return "another one: a search of " + r.q.Type.String() + " has none of its own"
	}
	names := make([]string, len(list))
	for n, i := range list {
		names[n] = i.String()
	}
	return "one of " + strings.Join(names, ", ")
}

// checkSources checks each _include whose source is not the type that is searched. By the
// letter of R4 it finds nothing without iterate, but an example of the guide writes it and
// means iterate. It becomes iterate if another include finds resources of its source, and
// is refused otherwise.
func (r *resultReader) checkSources() {
	for n, i := range r.results.Includes {
		if i.Reverse || i.Iterate || i.Source == r.q.Type {
			continue
		}
		if !slices.ContainsFunc(r.results.Includes, func(other Include) bool { return other.brings(i.Source) }) {
			r.issues = append(r.issues, fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: "_include=" + i.String() + " starts at " + i.Source.String() +
				", which neither a search of " + r.q.Type.String() + " nor another include finds: use " + r.offered(false) + "."})
			continue
		}
		r.results.Includes[n].Iterate = true
	}
}

// brings reports whether the include can find resources of type t.
func (i Include) brings(t fhir.Type) bool {
	if i.Reverse {
		return i.Source == t
	}
	return i.Reaches(t)
}
