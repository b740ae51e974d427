package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"
)

// Head is the end of a chain: its last event.
type Head struct {
	Event int64     `json:"event"` // its number, from 1
	Hash  string    `json:"hash"`  // SHA-256 of its line with the newline, in hex
	Time  time.Time `json:"time"`
}

// follow returns the head after a further line.
func (h Head) follow(line []byte, at time.Time) Head {
	return Head{Event: h.Event + 1, Hash: hashOf(line), Time: at}
}

// hashOf returns the hash of a line with its newline. A shell computes the same one:
// sed -n 7p audit.log | sha256sum.
func hashOf(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

// NoticeKind is the kind of a [Notice].
type NoticeKind string

// The kinds of notices. Begun and Continued are the first lines of a chain and of a further file, so
// that lines which were removed from the beginning of a file are missed.
const (
	Begun     NoticeKind = "begun"
	Continued NoticeKind = "continued"
	Repaired  NoticeKind = "repaired" // a line that was not complete was cut off
	Lost      NoticeKind = "lost"     // events could not be written
)

// Notice is an event of the log itself.
type Notice struct {
	Kind   NoticeKind `json:"kind"`
	Events int        `json:"events,omitempty"` // Lost: how many
	Bytes  int64      `json:"bytes,omitempty"`  // Repaired: how many were cut off
	Text   string     `json:"text,omitempty"`   // Repaired: what was cut off, at most maxText bytes, without tokens
}

// noticeEvent is the event of a notice, as its line has it after the link.
type noticeEvent struct {
	Time time.Time `json:"time"`
	Log  Notice    `json:"log"`
}

// encode encodes an event as one line, without its link.
func encode(event any) ([]byte, error) {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false) // filters stay readable: Practitioner?a=1&b=2
	err := encoder.Encode(event)
	return line.Bytes(), err
}

// The link is the beginning of each line: its number and the hash of the line before.
const (
	linkNumber = `{"n":`
	linkPrev   = `,"prev":"`
	linkEnd    = `",`
	// maxNumber is the largest number of an event, which no log reaches.
	maxNumber = 1 << 62
	// maxLink is the maximum length of a link, in bytes.
	maxLink = len(linkNumber) + 20 + len(linkPrev) + 2*sha256.Size + len(linkEnd)
)

// batch is lines of a chain that are written together.
type batch struct {
	head  Head
	lines []byte
}

// add adds an event, encoded by [encode].
func (b *batch) add(event []byte, at time.Time) {
	from := len(b.lines)
	b.lines = append(b.lines, linkNumber...)
	b.lines = strconv.AppendInt(b.lines, b.head.Event+1, 10)
	b.lines = append(b.lines, linkPrev...)
	b.lines = append(b.lines, b.head.Hash...)
	b.lines = append(b.lines, linkEnd...)
	b.lines = append(b.lines, event[1:]...)
	b.head = b.head.follow(b.lines[from:], at)
}

// link is how a line continues the chain.
type link struct {
	n    int64
	prev string // empty if there was no line before
}

// parseLink reads the link of a line. It reports false if the line has none.
func parseLink(line []byte) (l link, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte(linkNumber))
	if !ok {
		return link{}, false
	}
	number, rest, ok := bytes.Cut(rest, []byte(linkPrev))
	if !ok {
		return link{}, false
	}
	prev, _, ok := bytes.Cut(rest, []byte(linkEnd))
	n, err := strconv.ParseInt(string(number), 10, 64)
	if !ok || err != nil || n < 1 || n > maxNumber || len(prev) > 0 && !IsHash(string(prev)) || n > 1 && len(prev) == 0 {
		return link{}, false
	}
	return link{n, string(prev)}, true
}

// IsHash reports whether a text is a hash of a line: 64 hex digits in lower case.
func IsHash(text string) bool {
	if len(text) != 2*sha256.Size {
		return false
	}
	for _, c := range []byte(text) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
