package audit

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Interaction is the kind of a request.
type Interaction string

// The interactions. Other is any other request.
const (
	KickOff      Interaction = "kick-off"
	Poll         Interaction = "poll"
	Cancel       Interaction = "cancel"
	Download     Interaction = "download"
	Capabilities Interaction = "capabilities"
	SearchType   Interaction = "search-type"
	Read         Interaction = "read"
	Health       Interaction = "health"
	Metrics      Interaction = "metrics"
	Other        Interaction = "other"
)

// Event is a request and its result. Empty fields do not apply.
type Event struct {
	Time        time.Time   `json:"time"` // when the request was received, UTC, milliseconds
	RequestID   string      `json:"requestId"`
	Principal   string      `json:"principal"`
	Client      string      `json:"client,omitempty"` // id of the OAuth client; it is unique with Issuer
	Issuer      string      `json:"issuer,omitempty"` // of its token
	Scopes      []string    `json:"scopes,omitempty"` // of its token
	Remote      string      `json:"remote,omitempty"` // address of the client, without the port
	Interaction Interaction `json:"interaction"`
	Method      string      `json:"method"`
	Path        string      `json:"path"` // at most maxText bytes

	Query   string   `json:"query,omitempty"`   // of a search, cleaned by [Query]
	Filters []string `json:"filters,omitempty"` // of a kick-off, in normalised form
	Since   string   `json:"since,omitempty"`   // of a kick-off

	Job       string `json:"job,omitempty"`
	File      string `json:"file,omitempty"`      // id of the Binary
	Resources int64  `json:"resources,omitempty"` // in the response; for a download, in the file
	Bytes     int64  `json:"bytes"`               // of the response body that were sent

	Status int     `json:"status"`           // 0: the client disconnected before the response
	Issue  string  `json:"issue,omitempty"`  // code of the first issue of an error
	Broken bool    `json:"broken,omitempty"` // the response was aborted
	MS     float64 `json:"ms"`               // milliseconds until the last byte

	// Count is how many refused requests the event stands for. Statuses and Routes have the
	// number of them by status and by pattern of the path ("/" if there is nothing at the path).
	// Bytes is then the sum, and all other fields are those of the first. Zero for one request.
	Count    int            `json:"count,omitempty"`
	Statuses map[string]int `json:"statuses,omitempty"`
	Routes   map[string]int `json:"routes,omitempty"`
}

// Entry is a line of the log: an event of a request, or a notice of the log itself, which has a kind
// and a time only. Lines of older versions have no number.
type Entry struct {
	N    int64  `json:"n"`    // number in the chain
	Prev string `json:"prev"` // hash of the line before
	Event
	Log Notice `json:"log"`
}

// maxText is the maximum length, in bytes, of a client's text in an event.
const maxText = 16 << 10

// maxUnrouted is the maximum length, in bytes, of a path that no route serves.
const maxUnrouted = 64

// secretNames are the parameters whose values are never recorded, whatever path they are
// sent to.
var secretNames = []string{"access_token", "token", "client_secret", "client_assertion", "assertion", "password", "refresh_token", "id_token",
	"authorization", "bearer", "apikey", "api_key", "code", "secret"}

// Query returns the query of a URL without the values of parameters that can hold a
// secret, and without tokens (AD-02).
func Query(raw string) string {
	pairs := strings.Split(raw, "&")
	for n, pair := range pairs {
		name, _, found := strings.Cut(pair, "=")
		if found && secret(name) {
			pairs[n] = name + "=…"
		}
	}
	return WithoutTokens(Shorten(strings.Join(pairs, "&")))
}

// secret reports whether a parameter can hold a secret. It decodes the name as the server
// does; a name that cannot be decoded counts as secret.
func secret(name string) bool {
	decoded, err := url.QueryUnescape(name)
	return err != nil || slices.Contains(secretNames, strings.ToLower(decoded))
}

// Shorten truncates a client's text to the length that an event holds.
func Shorten(text string) string { return shortenTo(text, maxText) }

// Path returns the path of a request without tokens. It truncates what only its sender has chosen:
// the path of a request that no route serves, and that of one that failed.
func Path(path string, status int, routed bool) string {
	limit := maxText
	switch {
	case !routed:
		limit = maxUnrouted
	case status >= http.StatusBadRequest:
		limit = maxRefusedText
	}
	return WithoutTokens(shortenTo(strings.ToValidUTF8(path, "?"), limit))
}

func shortenTo(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}
