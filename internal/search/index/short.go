package index

import (
	"crypto/sha256"
	"encoding/hex"
	"unicode/utf8"
)

const (
	longest = 1000 // maximum bytes of a text in an entry
	kept    = 900  // bytes that are kept of a longer text
)

// Short returns a text of a length that an index can hold: PostgreSQL's limit is 2.7 KB, and
// a resource may have texts of any length. A text of more than 1,000 bytes is indexed by its
// first 900 bytes and a hash of the whole text: a search finds it by the whole text, by its
// start, and by a substring of the 900 bytes. Entries and queries are shortened after
// folding. Shortening is idempotent.
func Short(text string) string {
	if len(text) <= longest {
		return text
	}
	end := kept
	for !utf8.RuneStart(text[end]) {
		end--
	}
	hash := sha256.Sum256([]byte(text))
	return text[:end] + "…" + hex.EncodeToString(hash[:16])
}

// shorten shortens the texts of entries.
func shorten(entries []Entry) {
	for i := range entries {
		e := &entries[i]
		e.System, e.Code, e.Norm, e.Exact = Short(e.System), Short(e.Code), Short(e.Norm), Short(e.Exact)
	}
}
