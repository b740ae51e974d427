package load

import (
	"strings"

	"muster/internal/fhir"

	"github.com/valyala/fastjson"
)

// link is a reference from a resource to a resource of the directory.
type link struct {
	member string // of the resource that has the reference
	to     fhir.Reference
}

// referenceResolver finds the references of resources and makes those into the directory
// relative. It serves one goroutine.
type referenceResolver struct {
	bases []string // base URLs of the directory, without a trailing slash
	names map[string]string
}

// resolved are the references of a resource.
type resolved struct {
	links    []link
	outside  []string  // the server of each reference to another server
	warnings []warning // about references that cannot be followed
}

// resolve finds the references of a resource. One below a base URL of the directory, and
// one by the fullUrl of an entry of its Bundle, is replaced by Type/id.
func (f *referenceResolver) resolve(a *fastjson.Arena, v *fastjson.Value, urls *fullURLs) (out resolved, r *Refusal) {
	contained := fhir.ContainedIDs{In: v}
	fhir.EachReference(v, func(member []byte, element *fastjson.Value, text []byte) {
		reference := string(text)
		relative, inside := f.relative(reference, urls)
		if inside && relative != reference {
			element.Set("reference", a.NewString(relative))
		}
		to, err := fhir.ParseReference(relative)
		switch {
		case err == nil:
			out.links = append(out.links, link{f.name(member), to})
		case inside, fhir.IsConditional(reference):
			r = refuse(BadReference, "%s", conditionalReference).within(memberName(member))
		case fhir.IsURN(reference):
			out.warnings = append(out.warnings, unresolved(f.name(member), urls))
		case contained.Lack(reference):
			out.warnings = append(out.warnings, warning{MissingContained, f.name(member) + ": it refers to a contained resource that is not there: add it to contained, or write Type/id"})
		case fhir.IsHTTP(reference):
			out.outside = append(out.outside, f.name([]byte(serverOf(reference))))
		}
	})
	return out, r
}

// each calls visit for the references of a stored resource into the directory. An error ends it
// and is returned.
func (f *referenceResolver) each(v *fastjson.Value, visit func(link) error) (err error) {
	fhir.EachReference(v, func(member []byte, _ *fastjson.Value, text []byte) {
		relative, _ := f.relative(string(text), nil)
		if to, bad := fhir.ParseReference(relative); bad == nil && err == nil {
			err = visit(link{f.name(member), to})
		}
	})
	return err
}

// relative returns a reference into the directory as Type/id. A reference that is a search
// below the base URL of the directory is returned as it is, without that URL. inside is false
// for references that point elsewhere.
func (f *referenceResolver) relative(reference string, urls *fullURLs) (text string, inside bool) {
	if rest := fhir.BelowBase(reference, f.bases...); rest != reference {
		if _, err := fhir.ParseReference(rest); err == nil || fhir.IsConditional(rest) {
			return rest, true
		}
	}
	if entry, ok := urls.relative(reference); ok {
		return entry, true
	}
	return reference, false
}

// unresolved returns the warning about a urn: that no entry has as its fullUrl.
func unresolved(member string, urls *fullURLs) warning {
	if urls != nil && urls.full {
		return warning{NotFollowed, member + ": the Bundle has too many entries with a urn: as fullUrl: split it"}
	}
	return warning{Dangling, member + ": it refers to a urn: that is not the fullUrl of an entry of its Bundle: write Type/id"}
}

// serverOf returns the base URL of the server of an absolute reference, as far as it can be
// recognised.
func serverOf(reference string) string {
	if server, _, ok := fhir.SplitReference(reference); ok && len(server) <= maxServerLength {
		return server
	}
	scheme, rest, _ := strings.Cut(reference, "://")
	host, _, _ := strings.Cut(rest, "/")
	host = host[strings.LastIndex(host, "@")+1:] // without a password
	return scheme + "://" + host[:min(len(host), maxServerLength)]
}

// maxServerLength is the maximum length of the base URL of another server in a summary.
const maxServerLength = 200

// name returns a text that many resources share, such as the name of a member, as one string.
func (f *referenceResolver) name(text []byte) string {
	known, ok := f.names[string(text)]
	if !ok {
		if f.names == nil || len(f.names) == 1000 { // only hostile input has so many names
			f.names = map[string]string{}
		}
		known = string(text)
		f.names[known] = known
	}
	return known
}
