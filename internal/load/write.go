package load

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"unicode/utf8"

	"muster/internal/fhir"
	"muster/internal/store"

	"github.com/valyala/fastjson"
)

// appendValue appends the canonical text of v: no white space, members in the order of the
// source, numbers as in the source, and strings with the fewest escapes that JSON and NDJSON
// need (RE-07).
func appendValue(dst []byte, v *fastjson.Value) []byte {
	switch v.Type() {
	case fastjson.TypeObject:
		dst = append(dst, '{')
		dst = appendMembers(dst, v)
		return append(dst, '}')
	case fastjson.TypeArray:
		dst = append(dst, '[')
		for i, item := range v.GetArray() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendValue(dst, item)
		}
		return append(dst, ']')
	case fastjson.TypeString:
		return appendString(dst, v.GetStringBytes())
	}
	return v.MarshalTo(dst) // numbers and literals are kept as text
}

// appendMembers appends the members of an object without its braces, except those named in
// except.
func appendMembers(dst []byte, v *fastjson.Value, except ...string) []byte {
	first := true
	v.GetObject().Visit(func(key []byte, member *fastjson.Value) {
		if len(except) > 0 && slices.Contains(except, string(key)) {
			return
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendString(dst, key)
		dst = append(dst, ':')
		dst = appendValue(dst, member)
	})
	return dst
}

const hexDigits = "0123456789abcdef"

// appendString appends a JSON string.
func appendString(dst, s []byte) []byte {
	dst = append(dst, '"')
	start, ascii := len(dst), true
	clean := 0
	for i, b := range s {
		if b >= ' ' && b != '"' && b != '\\' {
			ascii = ascii && b < utf8.RuneSelf
			continue
		}
		dst = append(dst, s[clean:i]...)
		clean = i + 1
		switch b {
		case '"', '\\':
			dst = append(dst, '\\', b)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
		}
	}
	dst = append(dst, s[clean:]...)
	if !ascii {
		if escaped := fhir.AppendEscapedLine(nil, dst[start:]); len(escaped) != len(dst)-start {
			dst = append(dst[:start], escaped...)
		}
	}
	return append(dst, '"')
}

// document returns the stored form of a resource, split where versionId and lastUpdated
// belong. Its meta must not have them.
func document(scratch []byte, t fhir.Type, id string, v *fastjson.Value) ([]byte, store.Document) {
	text := append(scratch[:0], `{"resourceType":"`...)
	text = append(text, t.String()...)
	text = append(text, `","id":"`...)
	text = append(text, id...)
	text = append(text, `","meta":{`...)
	head := len(text)
	if meta := v.Get("meta"); meta != nil {
		text = appendTail(text, meta)
	}
	text = append(text, '}')
	text = appendTail(text, v, "resourceType", "id", "meta")
	text = append(text, '}')
	kept := bytes.Clone(text)
	return text, store.Document{Head: kept[:head:head], Tail: kept[head:]}
}

// appendTail appends members, each preceded by a comma.
func appendTail(dst []byte, v *fastjson.Value, except ...string) []byte {
	dst = append(dst, ',')
	length := len(dst)
	if dst = appendMembers(dst, v, except...); len(dst) == length {
		return dst[:length-1]
	}
	return dst
}

// hasher computes source hashes. It reuses its buffers, so it serves one goroutine.
type hasher struct {
	text    []byte
	members []member
}

type member struct {
	key   []byte
	value *fastjson.Value
}

// hash returns the hash of the canonical text with the members of each object sorted by
// key, so that a source that only reorders members is unchanged (D3). An empty meta counts
// as absent.
func (h *hasher) hash(v *fastjson.Value) [16]byte {
	h.text = h.append(h.text[:0], v)
	sum := sha256.Sum256(h.text)
	return [16]byte(sum[:16])
}

func (h *hasher) append(dst []byte, v *fastjson.Value) []byte {
	switch v.Type() {
	case fastjson.TypeObject:
		return h.appendObject(dst, v)
	case fastjson.TypeArray:
		dst = append(dst, '[')
		for _, item := range v.GetArray() {
			dst = append(h.append(dst, item), ',')
		}
		return append(dst, ']')
	case fastjson.TypeString:
		return appendString(dst, v.GetStringBytes())
	}
	return v.MarshalTo(dst)
}

func (h *hasher) appendObject(dst []byte, v *fastjson.Value) []byte {
	first := len(h.members)
	v.GetObject().Visit(func(key []byte, value *fastjson.Value) {
		h.members = append(h.members, member{key, value})
	})
	sorted := h.members[first:]
	slices.SortFunc(sorted, func(a, b member) int { return bytes.Compare(a.key, b.key) })
	dst = append(dst, '{')
	for i := range sorted {
		m := h.members[first+i] // nested objects may reallocate the slice
		dst = append(appendString(dst, m.key), ':')
		dst = append(h.append(dst, m.value), ',')
	}
	clear(h.members[first:])
	h.members = h.members[:first]
	return append(dst, '}')
}
