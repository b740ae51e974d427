package searchset

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"muster/internal/auth"
	"muster/internal/fhir"
	"muster/internal/search"
)

// IsPage reports whether the query string is that of a page of an earlier search.
func IsPage(rawQuery string) bool {
	values, _ := url.ParseQuery(rawQuery)
	return values.Has("_getpages")
}

// Page returns a page of an earlier search (PG-01). rawQuery is the query string of its
// URL. If of is not 0, the page must be one of a search of that type: some clients move the
// query of a link to [base]/Type.
func (s *Service) Page(ctx context.Context, of fhir.Type, rawQuery string) (Answer, error) {
	request, token, err := parsePage(rawQuery)
	if err != nil {
		return Answer{}, err
	}
	results, err := s.openToken(ctx, token)
	if err != nil {
		return Answer{}, err
	}
	if of != 0 && of != results.resourceType {
		return Answer{}, invalid("The page belongs to a search of %s, not of %s: follow the links of a Bundle unchanged.", results.resourceType, of)
	}
	may := s.access(ctx, auth.Search) // the token need not be that of the search
	if err := may.Check(results.reaches); err != nil {
		return Answer{}, err
	}
	if !results.visible.NotSuppressed && !may.Suppressed.MayBeAskedFor() {
		return Answer{}, errSuppressed
	}
	request.self = s.pageURL(token, request.offset, request.count, request.pretty)
	return s.writePage(ctx, results, request)
}

// errSuppressed is returned for a page of a search that included suppressed resources,
// if the client may no longer request them.
var errSuppressed = fhir.Issue{Code: fhir.CodeForbidden, Diagnostics: "This page contains suppressed resources, which this client may not request: search again without the parameter suppressed."}

// pageParameters are the parameters of the URL of a page.
var pageParameters = []string{"_getpages", "_getpagesoffset", "_bundletype", "_count", "_format", "_pretty"}

// parsePage parses the query string of a page (PG-02, PG-03, PG-05, PG-06).
func parsePage(rawQuery string) (p pageRequest, token string, err error) {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return pageRequest{}, "", invalid("The URL of the page is malformed: follow the links of a Bundle unchanged.")
	}
	if _, ok := values["_getpages"]; !ok {
		return pageRequest{}, "", fhir.Issue{Code: fhir.CodeNotSupported, Diagnostics: "A search over all types is not supported: search one type, such as Organization?name=…, or follow a link of a Bundle."}
	}
	p.count = search.MaxCount
	for _, name := range slices.Sorted(maps.Keys(values)) {
		list := values[name]
		if len(list) > 1 {
			return pageRequest{}, "", invalid("The parameter %s is repeated: follow the links of a Bundle unchanged.", name)
		}
		value := list[0]
		if value == "" && name != "_getpages" && slices.Contains(pageParameters, name) {
			continue // asks for nothing (SR-26)
		}
		switch name {
		case "_getpages":
			token = value
		case "_bundletype": // other servers put it into their links, and clients with them
			if value != "searchset" {
				err = invalid("_bundletype takes searchset, the type of every page.")
			}
		case "_getpagesoffset":
			p.offset, err = parseOffset(value)
		case "_count":
			if p.count, err = search.ParseCount(value); err != nil {
				err = invalid("_count: %v.", err)
			}
		case "_pretty":
			if p.pretty = value == "true"; value != "true" && value != "false" {
				err = invalid("_pretty takes true or false.")
			}
		case "_format": // package server handles it
		default:
			err = invalid("The parameter %s is not supported in the URL of a page: use %s.", name, strings.Join(pageParameters, ", "))
		}
		if err != nil {
			return pageRequest{}, "", err
		}
	}
	return p, token, nil
}

// parseOffset parses the offset of the first match of a page.
func parseOffset(text string) (int, error) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, invalid("_getpagesoffset: %q is not a non-negative integer.", text)
	}
	n, err := strconv.Atoi(text)
	if err != nil || n >= MaxMatches { // digits that overflow an int are too many
		return 0, fhir.Issue{Code: fhir.CodeTooCostly, Diagnostics: fmt.Sprintf(
			"Paging stops after the first %d matches of a search: narrow the search, or use $export.", MaxMatches)}
	}
	return n, nil
}

func invalid(format string, args ...any) fhir.Issue {
	return fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: fmt.Sprintf(format, args...)}
}

// pageURL returns the URL of a page.
func (s *Service) pageURL(token string, offset, count int, pretty bool) string {
	link := fmt.Sprintf("%s/?_getpages=%s&_getpagesoffset=%d&_count=%d", s.BaseURL, token, offset, count)
	if pretty {
		link += "&_pretty=true"
	}
	return link
}

// selfLink returns the URL of the canonical text of a search. Characters that a URL must
// not contain are percent-encoded.
func selfLink(base, text string) string {
	var b strings.Builder
	b.WriteString(base + "/")
	for i := range len(text) {
		if c := text[i]; c > ' ' && c < 0x7f && !strings.ContainsRune("\"<>\\^`{|}", rune(c)) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
