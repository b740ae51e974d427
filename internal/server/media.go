package server

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"muster/internal/fhir"
)

// The media types of responses (HD-06).
const (
	fhirJSON   = "application/fhir+json"
	plainJSON  = "application/json"
	fhirNDJSON = "application/fhir+ndjson"
)

// item is one element of a comma-separated list in a header: a value, which is the text
// before the first semicolon, and its parameters with lower-case names.
type item struct {
	value  string
	params map[string]string
}

// quality returns the parameter q, from 0 to 1. It defaults to 1, and an invalid value is
// 0.
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

// fhirVersion is the version of FHIR that the server speaks, as a parameter of media types.
const fhirVersion = "4.0"

// anotherVersion reports whether a media type names another version of FHIR.
func (i item) anotherVersion() bool {
	version, ok := i.params["fhirversion"]
	return ok && version != fhirVersion
}

// parseList parses a list header that may be repeated: Accept, Accept-Encoding, Prefer.
// Commas and semicolons inside quotes do not separate. Empty elements are ignored. Accept
// could be parsed by goautoneg, but that package splits inside quotes, compares names
// with case, accepts qualities such as 7 and NaN, and drops elements without a slash,
// such as ndjson.
func parseList(lines []string) []item {
	var list []item
	for _, line := range lines {
		for _, element := range splitUnquoted(line, ',') {
			pieces := splitUnquoted(element, ';')
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

// splitUnquoted splits text at a separator outside of quotes. It returns at least one
// piece.
func splitUnquoted(text string, separator byte) []string {
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

// acceptance is a parsed Accept header.
type acceptance []item

func acceptanceOf(r *http.Request) acceptance { return parseList(r.Header.Values("Accept")) }

// quality returns the quality of a media type, from 0 (not acceptable) to 1. The most
// specific range decides. Without a header every media type is acceptable. Parameters
// other than q are ignored (FM-03).
func (a acceptance) quality(mediaType string) float64 {
	if len(a) == 0 {
		return 1
	}
	group, _, _ := strings.Cut(mediaType, "/")
	for _, wanted := range []string{mediaType, group + "/*", "*/*"} {
		if quality, found := a.exact(wanted); found {
			return quality
		}
	}
	return 0
}

// exact returns the quality of exactly this name, and whether the header contains it. A range
// with another version of FHIR is ignored (FM-05).
func (a acceptance) exact(name string) (quality float64, found bool) {
	for _, i := range a {
		if strings.EqualFold(i.value, name) && !i.anotherVersion() {
			quality, found = max(quality, i.quality()), true
		}
	}
	return quality, found
}

// qualityWithAliases returns the quality of a media type that clients also request by
// other names. An alias counts only if the header contains it, because a wildcard means
// the media type itself. A client that excludes the media type by its own name does not
// get it by an alias.
func (a acceptance) qualityWithAliases(mediaType string, aliases ...string) float64 {
	best := a.quality(mediaType)
	if _, found := a.exact(mediaType); found && best == 0 {
		return 0
	}
	for _, alias := range aliases {
		quality, _ := a.exact(alias)
		best = max(best, quality)
	}
	return best
}

// prefersGzip reports whether Accept-Encoding contains gzip with a quality not below that
// of identity (RE-11).
func prefersGzip(r *http.Request) bool {
	codings := acceptance(parseList(r.Header.Values("Accept-Encoding")))
	gzip, found := codings.exact("gzip")
	if !found {
		gzip, _ = codings.exact("x-gzip")
	}
	identity, _ := codings.exact("identity")
	return gzip > 0 && gzip >= identity
}

// prefers reports whether the header Prefer contains a preference. It may be one of
// several, and the header may be repeated; case is ignored (KO-04).
func prefers(r *http.Request, preference string) bool {
	for _, i := range parseList(r.Header.Values("Prefer")) {
		if name, _, _ := strings.Cut(i.value, "="); strings.EqualFold(strings.TrimSpace(name), preference) {
			return true
		}
	}
	return false
}

// mediaTypeOf returns the media type of the request body in lower case, without
// parameters, or "".
func mediaTypeOf(r *http.Request) string {
	name, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(name))
}

// foreignCharset returns the quoted charset of the request body if it is not UTF-8, or
// "".
func foreignCharset(r *http.Request) string { return contentParameterBut(r, "charset", "utf-8") }

// foreignVersion returns the quoted version of FHIR of the request body if it is not the one of
// the server, or "" (FM-05).
func foreignVersion(r *http.Request) string {
	return contentParameterBut(r, "fhirVersion", fhirVersion)
}

// contentParameterBut returns the quoted value of a parameter of Content-Type that is not the
// supported one, or "".
func contentParameterBut(r *http.Request, parameter, supported string) string {
	for _, p := range splitUnquoted(r.Header.Get("Content-Type"), ';')[1:] {
		name, value, _ := strings.Cut(p, "=")
		if value = strings.TrimSpace(value); strings.EqualFold(strings.TrimSpace(name), parameter) && !strings.EqualFold(strings.Trim(value, `"`), supported) {
			return strconv.Quote(value)
		}
	}
	return ""
}

// formatOf returns the media type of the parameter _format, which takes precedence over
// Accept (FM-04), and whether there is one.
func formatOf(r *http.Request) (format item, found bool, err error) {
	values, err := queryValues(r, "_format")
	if err != nil || len(values) == 0 || len(values) == 1 && values[0] == "" {
		return item{}, false, err
	}
	if len(values) > 1 {
		return item{}, false, fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: "The parameter _format is repeated: give it once."}
	}
	name, parameters, _ := strings.Cut(values[0], ";")
	// An unescaped plus sign has become a space.
	name = strings.ToLower(strings.ReplaceAll(name, " ", "+"))
	if name == "json" {
		name = fhirJSON
	}
	if list := parseList([]string{name + ";" + parameters}); len(list) == 1 {
		return list[0], true, nil
	}
	return item{value: name}, true, nil // several: no representation has such a name
}

// queryValues returns the values of a parameter of the URL. Package url leaves out a parameter
// with a semicolon in its value, as in _format=xml;fhirVersion=4.0.
func queryValues(r *http.Request, name string) (values []string, err error) {
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if decoded, err := url.QueryUnescape(key); err != nil || decoded != name {
			continue
		}
		decoded, err := url.QueryUnescape(value)
		if err != nil {
			return nil, fhir.Issue{Code: fhir.CodeInvalid, Diagnostics: "The value of " + name + " contains a percent sign without two hexadecimal digits after it: write %25 for a percent sign."}
		}
		values = append(values, decoded)
	}
	return values, nil
}

// acceptedBy returns what a request accepts: _format, or else the header Accept.
func acceptedBy(r *http.Request) (acceptance, error) {
	format, found, err := formatOf(r)
	if found {
		return acceptance{format}, nil
	}
	return acceptanceOf(r), err
}

// checkJSON rejects a request whose _format or Accept excludes FHIR JSON (FM-01, FM-03,
// FM-04).
func (s *Server) checkJSON(r *http.Request) error { return checkAccepts(r, !s.StrictAccept) }

// checkAccepts rejects a request whose _format or Accept excludes FHIR JSON. If plain is set,
// plain JSON stands for it.
func checkAccepts(r *http.Request, plain bool) error {
	accept, err := acceptedBy(r)
	if err != nil {
		return err
	}
	if accept.quality(fhirJSON) > 0 || plain && accept.qualityWithAliases(fhirJSON, plainJSON) > 0 {
		return nil
	}
	return refusal{kind: notAcceptable, text: "This resource is available as application/fhir+json in FHIR version " + fhirVersion + " only: send that in Accept or _format."}
}
