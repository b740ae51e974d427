package searchset

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"muster/internal/fhir"
	"muster/internal/search"
)

// Page answers a request for a page of a search (PG-01); rawQuery is the part of its
// URL behind the question mark.
func (s *Service) Page(ctx context.Context, rawQuery string) (Answer, error) {
	asked, token, err := parsePage(rawQuery)
	if err != nil {
		return Answer{}, err
	}
	one, err := s.open(ctx, token)
	if err != nil {
		return Answer{}, err
	}
	if !one.visible.NotSuppressed && !s.maySee(ctx).MayBeAskedFor() {
		return Answer{}, errSuppressed
	}
	asked.self = s.pageURL(token, asked.offset, asked.count, asked.pretty)
	return s.write(ctx, one, asked)
}

// errSuppressed is the answer to a link of a search that could ask for suppressed
// resources, where its client may not ask for them any more.
var errSuppressed = fhir.Issue{Code: fhir.CodeForbidden, Diagnostics: "This page shows suppressed resources, which this client may not ask for: search again without the parameter suppressed."}

// parsePage reads the URL of a page (PG-02, PG-03, PG-05, PG-06).
func parsePage(rawQuery string) (p page, token string, err error) {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return page{}, "", invalid("The address of a page cannot be read: follow the links in a Bundle as they are.")
	}
	if _, ok := values["_getpages"]; !ok {
		return page{}, "", fhir.Issue{Code: fhir.CodeNotSupported, Diagnostics: "A search over all types is not offered here: search one type, such as Organization?name=…, or follow the link to a page."}
	}
	p.count = search.MaxCount
	for _, name := range slices.Sorted(maps.Keys(values)) {
		list := values[name]
		if len(list) > 1 {
			return page{}, "", invalid("The parameter %s stands there more than once: follow the links in a Bundle as they are.", name)
		}
		switch value := list[0]; name {
		case "_getpages":
			token = value
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
		case "_format": // the HTTP side looks at it
		default:
			err = invalid("The parameter %s has no place in the address of a page, which takes _getpages, _getpagesoffset, _count, _format and _pretty.", name)
		}
		if err != nil {
			return page{}, "", err
		}
	}
	return p, token, nil
}

// parseOffset reads the place of the first match of a page.
func parseOffset(text string) (int, error) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, invalid("_getpagesoffset: %q is not a whole number from 0.", text)
	}
	n, err := strconv.Atoi(text)
	if err != nil || n >= MaxMatches { // digits that do not fit an int are many
		return 0, fhir.Issue{Code: fhir.CodeTooCostly, Diagnostics: fmt.Sprintf(
			"Only the first %d matches of a search can be paged through: narrow the search, or use $export.", MaxMatches)}
	}
	return n, nil
}

func invalid(format string, args ...any) fhir.Issue {
	return fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: fmt.Sprintf(format, args...)}
}

// pageURL is the link to a page.
func (s *Service) pageURL(token string, offset, count int, pretty bool) string {
	link := fmt.Sprintf("%s/?_getpages=%s&_getpagesoffset=%d&_count=%d", s.BaseURL, token, offset, count)
	if pretty {
		link += "&_pretty=true"
	}
	return link
}

// selfLink makes a link of the canonical text of a search: what may not stand in a
// URL as it is gets escaped.
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
