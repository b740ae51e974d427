package server

import (
	"net/http"
	"strconv"
	"strings"

	"muster/internal/fhir"
)

// The media types of the answers (HD-06).
const (
	fhirJSON   = "application/fhir+json"
	plainJSON  = "application/json"
	fhirNDJSON = "application/fhir+ndjson"
)

// item is one element of a comma list in a header: a value, the text before the
// first semicolon, and its parameters with lower-case names.
type item struct {
	value  string
	params map[string]string
}

// quality is the q parameter, from 0 to 1; 1 without one.
func (i item) quality() float64 {
	text, ok := i.params["q"]
	if !ok {
		return 1
	}
	q, err := strconv.ParseFloat(text, 64)
	if err != nil || !(q >= 0 && q <= 1) {
		return 0
	}
	return q
}

// parseList reads the comma list of a header that may be repeated: Accept,
// Accept-Encoding, Prefer. Commas and semicolons inside quotes do not cut. Empty
// elements are left out.
func parseList(lines []string) []item {
	var list []item
	for _, line := range lines {
		for _, element := range cut(line, ',') {
			pieces := cut(element, ';')
			i := item{value: strings.TrimSpace(pieces[0]), params: map[string]string{}}
			for _, p := range pieces[1:] {
				name, value, _ := strings.Cut(p, "=")
				i.params[strings.ToLower(strings.TrimSpace(name))] = strings.Trim(strings.TrimSpace(value), `"`)
			}
			if i.value != "" {
				list = append(list, i)
			}
		}
	}
	return list
}

// cut cuts text at a separator outside of quotes. It returns at least one piece.
func cut(text string, separator byte) []string {
	var pieces []string
	quoted, start := false, 0
	for n := 0; n < len(text); n++ {
		switch c := text[n]; {
		case quoted && c == '\\':
			n++
		case c == '"':
			quoted = !quoted
		case c == separator && !quoted:
			pieces = append(pieces, text[start:n])
			start = n + 1
		}
	}
	return append(pieces, text[start:])
}

// acceptance is an Accept header.
type acceptance []item

func acceptanceOf(r *http.Request) acceptance { return parseList(r.Header.Values("Accept")) }

// of returns how welcome a media type is, from 0 (not at all) to 1: the most
// specific range decides, and without a header everything is welcome. Parameters
// other than q are not looked at (FM-03).
func (a acceptance) of(mediaType string) float64 {
	if len(a) == 0 {
		return 1
	}
	group, _, _ := strings.Cut(mediaType, "/")
	for _, wanted := range []string{mediaType, group + "/*", "*/*"} {
		if quality, found := a.named(wanted); found {
			return quality
		}
	}
	return 0
}

// named returns the quality that is given to exactly this name, and whether it is there.
func (a acceptance) named(name string) (quality float64, found bool) {
	for _, i := range a {
		if strings.EqualFold(i.value, name) {
			quality, found = max(quality, i.quality()), true
		}
	}
	return quality, found
}

// under returns how welcome a media type is that clients also ask for under other
// names. Those count only where the header has them, for a wildcard means the
// type itself; and who rules the type out by its own name does not get it under another.
func (a acceptance) under(mediaType string, aliases ...string) float64 {
	best := a.of(mediaType)
	if _, found := a.named(mediaType); found && best == 0 {
		return 0
	}
	for _, alias := range aliases {
		quality, _ := a.named(alias)
		best = max(best, quality)
	}
	return best
}

// wantsGzip reads Accept-Encoding: gzip must be named, and not be less welcome
// than the identity form (RE-11).
func wantsGzip(r *http.Request) bool {
	codings := acceptance(parseList(r.Header.Values("Accept-Encoding")))
	gzip, found := codings.named("gzip")
	if !found {
		gzip, _ = codings.named("x-gzip")
	}
	identity, _ := codings.named("identity")
	return gzip > 0 && gzip >= identity
}

// prefers reports whether the header Prefer names a preference, which is compared
// without case, among others and over repeated headers (KO-04).
func prefers(r *http.Request, preference string) bool {
	for _, i := range parseList(r.Header.Values("Prefer")) {
		if name, _, _ := strings.Cut(i.value, "="); strings.EqualFold(strings.TrimSpace(name), preference) {
			return true
		}
	}
	return false
}

// mediaTypeOf returns the media type of the request body in lower case, without
// parameters; empty when none is given.
func mediaTypeOf(r *http.Request) string {
	name, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(name))
}

// foreignCharset returns a charset of the request body other than UTF-8, as the header
// has it; empty without one.
func foreignCharset(r *http.Request) string {
	for _, p := range cut(r.Header.Get("Content-Type"), ';')[1:] {
		name, value, _ := strings.Cut(p, "=")
		if value = strings.TrimSpace(value); strings.EqualFold(strings.TrimSpace(name), "charset") && !strings.EqualFold(strings.Trim(value, `"`), "utf-8") {
			return strconv.Quote(value)
		}
	}
	return ""
}

// formatOf returns the media type that the parameter _format asks for, which
// counts more than Accept (FM-04); empty without the parameter.
func formatOf(r *http.Request) (string, error) {
	values, ok := r.URL.Query()["_format"]
	if !ok {
		return "", nil
	}
	if len(values) > 1 {
		return "", fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: "The parameter _format is there more than once."}
	}
	// A plus that was not escaped has become a space.
	format := strings.ToLower(strings.ReplaceAll(values[0], " ", "+"))
	if format == "json" {
		return fhirJSON, nil
	}
	return format, nil
}

// checkJSON refuses a request whose _format or Accept leaves no room for FHIR
// JSON (FM-01, FM-03, FM-04).
func (s *Server) checkJSON(r *http.Request) error {
	format, err := formatOf(r)
	if err != nil {
		return err
	}
	accept := acceptanceOf(r)
	if format != "" {
		accept = acceptance{{value: format}}
	}
	if accept.of(fhirJSON) > 0 || (!s.StrictAccept && accept.under(fhirJSON, plainJSON) > 0) {
		return nil
	}
	return refusal{kind: notAcceptable, text: "This is available as application/fhir+json only: ask for that in Accept or _format."}
}
