package audit

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// Interaction is what a request wanted.
type Interaction string

// The interactions. A request that fits none of them is Other.
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

// Event is one request with what became of it. Empty fields do not apply.
type Event struct {
	Time        time.Time   `json:"time"` // when the request came, UTC, milliseconds
	RequestID   string      `json:"requestId"`
	Principal   string      `json:"principal"`
	Remote      string      `json:"remote,omitempty"` // address of the client, without port
	Interaction Interaction `json:"interaction"`
	Method      string      `json:"method"`
	Path        string      `json:"path"` // at most [longestText] bytes

	Query   string   `json:"query,omitempty"`   // of a search, by [Query]
	Filters []string `json:"filters,omitempty"` // of a kick-off, as they were understood
	Since   string   `json:"since,omitempty"`   // of a kick-off

	Job       string `json:"job,omitempty"`
	File      string `json:"file,omitempty"`      // id of the Binary
	Resources int64  `json:"resources,omitempty"` // in the answer; of a download, in the file
	Bytes     int64  `json:"bytes"`               // of the answer's body that were sent

	Status int     `json:"status"`          // 0: the client had gone before an answer
	Issue  string  `json:"issue,omitempty"` // code of the first issue
	Broken bool    `json:"broken,omitempty"`
	MS     float64 `json:"ms"` // milliseconds until the last byte
}

// longestText is the most bytes of a text of the client's that an event holds.
const longestText = 16 << 10

// secretNames are parameters whose values are never kept, whatever they are sent to.
var secretNames = []string{"access_token", "token", "client_secret", "client_assertion", "assertion", "password", "refresh_token", "id_token"}

// Query returns the query of a request's address as it may be kept: values of
// parameters that can hold a secret are left out (AD-02).
func Query(raw string) string {
	pairs := strings.Split(raw, "&")
	for n, pair := range pairs {
		name, _, found := strings.Cut(pair, "=")
		if found && secret(name) {
			pairs[n] = name + "=…"
		}
	}
	return Shorten(strings.Join(pairs, "&"))
}

// secret looks at the name as the server will read it. One that cannot be read is
// taken for secret.
func secret(name string) bool {
	read, err := url.QueryUnescape(name)
	return err != nil || slices.Contains(secretNames, strings.ToLower(read))
}

// Shorten cuts a text of the client's to what an event holds.
func Shorten(text string) string {
	if len(text) <= longestText {
		return text
	}
	return strings.ToValidUTF8(text[:longestText], "") + "…"
}
