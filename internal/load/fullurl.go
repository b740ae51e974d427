package load

import (
	"hash/maphash"
	"slices"
	"strings"

	"muster/internal/fhir"

	"github.com/google/uuid"
	"github.com/valyala/fastjson"
)

// Entries of a Bundle refer to each other by fullUrl (R4, Bundle 2.36.4). A directory has no
// Bundles, so such a reference is stored as Type/id. An entry may refer to any other, also to
// a later one, so the entries of a Bundle are read twice: once for the map of this file, and
// once to load them (spool.go).

// These limits bound the memory of the maps of one input.
const (
	maxFullURLs = 1 << 20 // entries in maps, about 120 bytes each (TestFullURLSize)
	maxServers  = 16      // base URLs of one Bundle
)

// fullURLs maps the fullUrls of the entries of one Bundle to their resources. It does not
// change after the last call of add, so several goroutines may read it. A nil *fullURLs is
// that of a Bundle without fullUrls.
type fullURLs struct {
	seed    maphash.Seed
	servers []string          // base URLs of the fullUrls of the form [base]/Type/id
	others  map[uint64]target // of all other fullUrls, such as urn:uuid:…, by their hashes
	full    bool              // entries were left out, since there are too many
}

// target is the resource of an entry. An empty target is that of a fullUrl that several
// resources have.
type target struct{ typeName, id string }

// fullURLBudget counts the entries in the maps of one input. Its zero value is ready to use.
type fullURLBudget struct{ used, most int }

// take reports whether one more entry fits.
func (b *fullURLBudget) take() bool {
	if b.most == 0 {
		b.most = maxFullURLs
	}
	if b.used == b.most {
		return false
	}
	b.used++
	return true
}

// add adds a parsed entry. It returns u, or a new map if u is nil and the entry has a
// fullUrl.
func (u *fullURLs) add(e *fastjson.Value, budget *fullURLBudget) *fullURLs {
	url := string(e.GetStringBytes("fullUrl"))
	of, own := entryTarget(e)
	if url == "" || of == (target{}) || checkFullURL(url, of.typeName, of.id) != "" {
		return u // the entry will be refused, or has nothing to refer to it by
	}
	if u == nil {
		u = &fullURLs{seed: maphash.MakeSeed()}
	}
	server, relative, _ := fhir.SplitReference(url)
	if named, err := fhir.ParseReference(relative); err == nil && named.Type == of.typeName && named.ID == of.id {
		if slices.Contains(u.servers, server) {
			return u
		}
		if len(u.servers) < maxServers {
			u.servers = append(u.servers, strings.Clone(server))
			return u
		}
		own = true // the URL names the resource, whether or not it has an id
	}
	key := u.key(url)
	known, there := u.others[key]
	switch {
	case there && (known != of || !own):
		u.others[key] = target{}
	case there:
	case !budget.take():
		u.full = true
	default:
		if u.others == nil {
			u.others = map[uint64]target{}
		}
		u.others[key] = of
	}
	return u
}

// mapEntries returns the map of the entries of one Bundle.
func mapEntries(entries []*fastjson.Value) (urls *fullURLs) {
	var budget fullURLBudget
	for _, e := range entries {
		urls = urls.add(e, &budget)
	}
	return urls
}

// key returns the hash of a fullUrl.
func (u *fullURLs) key(url string) uint64 { return maphash.String(u.seed, canonicalURL(url)) }

// canonicalURL returns a fullUrl in the form in which equal ones are the same text: UUIDs are
// equal in any case of their letters.
func canonicalURL(url string) string {
	const prefix = "urn:uuid:"
	if len(url) >= len(prefix) && strings.EqualFold(url[:len(prefix)], prefix) {
		return strings.ToLower(url)
	}
	return url
}

// ambiguous reports whether several resources of the Bundle have the fullUrl.
func (u *fullURLs) ambiguous(url string) bool {
	if u == nil || url == "" {
		return false
	}
	of, there := u.others[u.key(url)]
	return there && of == (target{})
}

// relative returns the reference to an entry as Type/id or Type/id/_history/version. It
// reports false if no entry has the fullUrl, or several resources have it. A reference below
// the base URL of an entry's server is relative too, whether or not its target is an entry,
// and also if it is a search.
func (u *fullURLs) relative(reference string) (string, bool) {
	if u == nil {
		return "", false
	}
	if server, relative, ok := fhir.SplitReference(reference); ok && slices.Contains(u.servers, server) {
		return relative, true
	}
	if rest := fhir.BelowBase(reference, u.servers...); rest != reference && fhir.IsConditional(rest) {
		return rest, true
	}
	url, version, versioned := strings.Cut(reference, "/_history/")
	of, there := u.others[u.key(url)]
	if !there || of == (target{}) {
		return "", false
	}
	relative := of.typeName + "/" + of.id
	if versioned {
		relative += "/_history/" + version
	}
	if _, err := fhir.ParseReference(relative); err != nil {
		return "", false
	}
	return relative, true
}

// entryTarget returns the resource of an entry as it will be loaded, or an empty target if it
// has no valid name. own reports whether the resource has an id of its own.
func entryTarget(e *fastjson.Value) (of target, own bool) {
	resource := e.Get("resource")
	name := string(resource.GetStringBytes("resourceType"))
	if t, ok := fhir.ParseType(name); ok {
		name = t.String() // shared by all targets
	}
	id := string(resource.GetStringBytes("id"))
	own = resource.Exists("id")
	if !own {
		id = derivedID(e)
	}
	if _, err := fhir.ParseReference(name + "/" + id); err != nil {
		return target{}, false
	}
	return target{typeName: name, id: id}, own
}

// derivedID returns the id of an entry whose resource has none, or "" if it must have one:
// a PUT names its resource, and without a fullUrl no id is stable.
func derivedID(e *fastjson.Value) string {
	if request := e.Get("request"); request != nil && string(request.GetStringBytes("method")) != "POST" {
		return ""
	}
	return idOfURL(string(e.GetStringBytes("fullUrl")), string(e.GetStringBytes("resource", "resourceType")))
}

// idOfURL returns the id of a resource without one that is the entry with the fullUrl: the id
// in a URL of the form [base]/Type/id, and otherwise the UUID of version 5 of the fullUrl in
// the namespace of URLs, so that every load yields the same one. It returns "" if the text
// is not an absolute URI.
func idOfURL(url, typeName string) string {
	if _, relative, ok := fhir.SplitReference(url); ok {
		if named, err := fhir.ParseReference(relative); err == nil && named.Type == typeName {
			return named.ID
		}
	}
	if !hasScheme(url) {
		return ""
	}
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte(canonicalURL(url))).String()
}
