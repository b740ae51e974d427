package index

import (
	"crypto/sha256"
	"encoding/hex"
	"unicode/utf8"
)

const (
	longest = 1000 // bytes of a text in an entry
	kept    = 900  // of a longer one
)

// Short brings a text to the length that an index can hold: PostgreSQL's takes 2.7 KB
// for an entry, and a resource may have texts of any length. A text of more than 1,000
// bytes is indexed by its first 900 and a hash of the whole: it is found as a whole, by
// how it begins, and by what stands in those 900 bytes. Entries and questions pass
// here, both after folding. Shortening a short text changes nothing.
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
