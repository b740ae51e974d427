package load

import (
	"context"
	"slices"
	"strings"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/index"

	"github.com/valyala/fastjson"
)

// NotEvaluated is the kind of warning for a condition of a Bundle entry, such as
// ifNoneExist: the resource is loaded in any case.
const NotEvaluated Kind = "condition of an entry not evaluated"

// prepareEntry prepares a Bundle entry: a resource, with or without a request. A PUT must
// name the resource, and a POST its type. A resource without an id gets one that is derived
// from its fullUrl, unless it is that of a PUT.
func (b *batch) prepareEntry(ctx context.Context, p *preparer, i item, e *fastjson.Value, path string, urls *fullURLs) {
	aliases := entryNames(e)
	resource := e.Get("resource")
	if p.changes && string(e.GetStringBytes("request", "method")) == "DELETE" {
		b.prepareDelete(p, i, e, aliases, path)
		return
	}
	if e.Type() != fastjson.TypeObject || resource == nil || resource.Type() != fastjson.TypeObject {
		b.refuseEmptyEntry(i, e, aliases, path)
		return
	}
	p.giveID(e)
	if suppressedOutsideResource(e) {
		r := refuse(BadEntry, "the entry has the suppressed extension: write it in the resource").within(path)
		b.refuseValue(i, resource, aliases, index.Suppressed, r)
		return
	}
	r := checkEntry(p.resolver.bases, e, urls)
	if r == nil && p.changes {
		r = checkChange(e)
	}
	if r != nil {
		b.refuseValue(i, resource, aliases, 0, r.within(path))
		return
	}
	b.prepareResource(ctx, p, i, resource, around{path: path + ".resource", aliases: aliases, urls: urls, warnings: unevaluated(e, path)})
}

// giveID gives the resource of an entry, if it has no id, the one that is derived from its
// fullUrl.
func (p *preparer) giveID(e *fastjson.Value) {
	if resource := e.Get("resource"); !resource.Exists("id") {
		if id := derivedID(e); id != "" {
			resource.Set("id", p.arena.NewString(id))
		}
	}
}

// refuseEmptyEntry refuses an entry without a resource under the name that it gives.
func (b *batch) refuseEmptyEntry(i item, e *fastjson.Value, aliases []candidate, path string) {
	r := refuse(BadEntry, "the entry has no resource: write one")
	if string(e.GetStringBytes("request", "method")) == "DELETE" {
		r = refuse(BadEntry, "the entry deletes a resource: a load removes resources only with --changes")
	}
	b.refuseUnfilledEntry(i, e, aliases, r.within(path))
}

// refuseUnfilledEntry refuses an entry without a resource under the name that it gives, for a
// reason.
func (b *batch) refuseUnfilledEntry(i item, e *fastjson.Value, aliases []candidate, r *Refusal) {
	var named candidate
	if n := len(aliases); n > 0 { // the last one is that of the request
		named, aliases = aliases[n-1], aliases[:n-1]
		named.guessed = false
	} else if to, err := fhir.ParseReference(string(e.GetStringBytes("request", "url"))); err == nil {
		named = candidate{typeName: to.Type, id: to.ID} // of a type that the directory does not hold
	}
	b.refuseEach(i, named, append(findCandidates(e.MarshalTo(nil)), aliases...), r)
}

// checkEntry checks the fullUrl and the request of an entry with a resource. bases are the
// base URLs of the directory.
func checkEntry(bases []string, e *fastjson.Value, urls *fullURLs) *Refusal {
	url := string(e.GetStringBytes("fullUrl"))
	if urls.ambiguous(url) {
		return refuse(BadEntry, "another resource of the Bundle has the same fullUrl: give each its own").within("fullUrl")
	}
	resource := e.Get("resource")
	if string(resource.GetStringBytes("resourceType")) == "Bundle" {
		return refuse(BadEntry, "this is a Bundle in a Bundle: load it as a file or a line of its own").within("resource")
	}
	typeName, id := string(resource.GetStringBytes("resourceType")), string(resource.GetStringBytes("id"))
	if text := checkFullURL(url, typeName, id); text != "" {
		return refuse(BadEntry, "%s", text).within("fullUrl")
	}
	request := e.Get("request")
	if request == nil {
		return checkID(resource, url)
	}
	to := fhir.BelowBase(string(request.GetStringBytes("url")), bases...)
	switch string(request.GetStringBytes("method")) {
	case "PUT":
		if text := checkPut(to, typeName, id); text != "" {
			return refuse(BadEntry, "%s", text).within("request.url")
		}
		return nil
	case "POST":
		if to != typeName {
			return refuse(BadEntry, "the URL of this POST is not the type of the resource: write the type alone").within("request.url")
		}
		return checkID(resource, url)
	}
	return refuse(BadEntry, "this is not PUT or POST, the only methods that a load applies: write one of them, or leave the request out").within("request.method")
}

// checkID checks that an entry names its resource.
func checkID(resource *fastjson.Value, url string) *Refusal {
	if resource.Exists("id") || !resource.Exists("resourceType") {
		return nil // identify checks both
	}
	if url == "" {
		return refuse(MissingID, "the resource has no id, and the entry no fullUrl to derive one from: write one of them").within("resource.id")
	}
	return refuse(MissingID, "the resource has no id, and the fullUrl is not an absolute URI to derive one from: write an id").within("resource.id")
}

// checkFullURL returns what is wrong with a fullUrl of the form [base]/Type/id, or "". It
// accepts other URLs, whose segments mean nothing, such as [base]/Entries/1.
func checkFullURL(url, typeName, id string) string {
	_, relative, _ := fhir.SplitReference(url)
	named, err := fhir.ParseReference(relative)
	if _, known := fhir.ParseType(named.Type); err != nil || !known && named.Type != typeName {
		return ""
	}
	return differs(relative, typeName, id)
}

// checkPut returns what is wrong with the URL of a PUT, or "".
func checkPut(url, typeName, id string) string {
	switch {
	case strings.Contains(url, "?"):
		return "this is a conditional update: a load does not search: write the type and the id of the resource as Type/id"
	case id == "":
		return "the resource has no id: write that of the URL"
	case strings.Count(url, "/") != 1:
		return "this is not the type and the id of the resource: write Type/id"
	}
	return differs(url, typeName, id)
}

// differs returns how a reference differs from the type and the id of a resource, or "".
func differs(reference, typeName, id string) string {
	named, err := fhir.ParseReference(reference)
	switch {
	case err != nil:
		return "this is not the type and the id of the resource: write Type/id"
	case named.Type != typeName && id != "" && named.ID != id:
		return "the type and the id differ from those of the resource: write the same in both"
	case named.Type != typeName:
		return "the type differs from that of the resource: write the same in both"
	case id != "" && named.ID != id:
		return "the id differs from that of the resource: write the same in both"
	}
	return ""
}

// unevaluated returns a warning for each condition of the request of an entry.
func unevaluated(e *fastjson.Value, path string) (found []warning) {
	for _, name := range conditions(e) {
		found = append(found, warning{NotEvaluated, path + ".request." + name + ": a load does not evaluate conditions: the resource was loaded in any case"})
	}
	return found
}

// conditions returns the names of the conditions of the request of an entry.
func conditions(e *fastjson.Value) (names []string) {
	for _, name := range []string{"ifNoneMatch", "ifModifiedSince", "ifMatch", "ifNoneExist"} {
		if e.Exists("request", name) {
			names = append(names, name)
		}
	}
	return names
}

// suppressedOutsideResource reports whether an entry has the suppressed extension outside
// its resource.
func suppressedOutsideResource(e *fastjson.Value) (found bool) {
	e.GetObject().Visit(func(key []byte, member *fastjson.Value) {
		found = found || string(key) != "resource" && policy.SaysHidden(member)&index.Suppressed != 0
	})
	return found
}

// entryNames returns the names that an entry gives its resource: the last two segments of
// fullUrl and of request.url, and the id that is derived from its fullUrl.
func entryNames(e *fastjson.Value) (names []candidate) {
	add := func(typeName, id string) {
		c := candidate{typeName: typeName, id: id, guessed: true}
		if c.named() && fhir.ValidID(id) && !slices.Contains(names, c) {
			names = append(names, c)
		}
	}
	fullURL, resource := string(e.GetStringBytes("fullUrl")), e.Get("resource")
	if typeName := string(resource.GetStringBytes("resourceType")); !resource.Exists("id") {
		add(typeName, idOfURL(fullURL, typeName))
	}
	for _, url := range []string{fullURL, string(e.GetStringBytes("request", "url"))} {
		url, _, _ = strings.Cut(url, "/_history/")
		if segments := strings.Split(url, "/"); len(segments) >= 2 {
			add(segments[len(segments)-2], segments[len(segments)-1])
		}
	}
	return names
}
