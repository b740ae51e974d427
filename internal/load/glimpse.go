package load

import (
	"bytes"
	"encoding/json"
	"io"
	"regexp"
	"slices"
	"strings"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/index"

	"github.com/valyala/fastjson"
)

// sighting is a resource in input that is refused, as far as it can be read: which one
// it is, and by which flags it says that it is hidden.
type sighting struct {
	typeName string // empty if it cannot be read
	id       string // empty if it cannot be read
	hides    index.Visibility
}

// sightingOf is that of a resource that could be read as JSON.
func sightingOf(v *fastjson.Value) sighting {
	id := strings.TrimSpace(string(v.GetStringBytes("id")))
	if said := v.Get("id"); said != nil && said.Type() == fastjson.TypeNumber {
		id = said.String()
	}
	if !fhir.ValidID(id) {
		id = ""
	}
	return sighting{typeLike(string(v.GetStringBytes("resourceType"))), id, policy.SaysHidden(v)}
}

// glimpser finds the resources in a text that is no JSON, or not JSON enough to be
// loaded: a refused resource must not leave a more public version in place. It reads
// what there is, in whatever order, and never fails. It is an [io.Writer], so a text of
// any length costs little memory. The zero value with found set is ready; end it with
// [glimpser.end].
type glimpser struct {
	found   func(sighting)
	open    []frame
	tooDeep int // objects and arrays that are open below them

	inString, escaped bool
	word              []byte // the string or the literal that is being read
	long              bool   // it is too long to matter
	last              string // the last string, which becomes a key if a colon follows
	hasLast           bool
}

// frame is an object or an array that is open.
type frame struct {
	array bool
	key   string // of the member that is being read; of an array the one it stands under

	types, ids []string
	hides      index.Visibility
	contained  bool // inside of another resource
}

// longestWord is how long strings and literals may be that matter: URLs, ids, codes.
const longestWord = 512

// What is remembered of one text at most. Texts that have more are nobody's data: a
// line has at most 8 MiB, and a resource one type and one id.
const (
	maxSightings = 20_000
	maxNames     = 4
)

// glimpse returns the resources in a text.
func glimpse(text []byte) (list []sighting) {
	g := glimpser{found: func(s sighting) {
		if len(list) < maxSightings {
			list = append(list, s)
		}
	}}
	_, _ = g.Write(text)
	g.end()
	if len(list) == 0 {
		list = glimpseWords(text)
	}
	if !policy.MentionsSuppression(bytes.ReplaceAll(text, []byte(`\/`), []byte(`/`))) {
		return list
	}
	// A lost quotation mark or bracket may have hidden whose suppression it is. A line
	// holds one resource, unless it is a Bundle.
	one := !bytes.Contains(text, []byte("Bundle")) && bytes.IndexByte(text, '\n') < 0
	if one || !slices.ContainsFunc(list, func(s sighting) bool { return s.hides&index.Suppressed != 0 }) {
		for n := range list {
			list[n].hides |= index.Suppressed
		}
	}
	return list
}

var (
	typeForm = regexp.MustCompile(`"?resourceType"?\s*:\s*"?([A-Za-z]+)`)
	idForm   = regexp.MustCompile(`"id"\s*:\s*"?\s*([A-Za-z0-9\-.]{1,64})["',}\]\s]`)
)

// glimpseWords looks for the words of one resource in a text whose quotation marks do
// not match.
func glimpseWords(text []byte) []sighting {
	t, id := typeForm.FindSubmatch(text), idForm.FindSubmatch(text)
	if t == nil || id == nil {
		return nil
	}
	return []sighting{{typeName: typeLike(string(t[1])), id: string(id[1])}}
}

// Write implements [io.Writer].
func (g *glimpser) Write(text []byte) (int, error) {
	for _, b := range text {
		g.byte(b)
	}
	return len(text), nil
}

// end takes what is open for closed.
func (g *glimpser) end() {
	if g.inString {
		g.take() // it is cut off, so it may not be an id
	}
	g.literal()
	g.tooDeep = 0
	for len(g.open) > 0 {
		g.pop()
	}
}

func (g *glimpser) byte(b byte) {
	switch {
	case g.inString && g.escaped:
		g.escaped = false
		g.add(b)
	case g.inString && b == '\\':
		g.escaped = true
		g.add(b)
	case g.inString && b == '"':
		g.inString = false
		g.text()
	case g.inString:
		g.add(b)
	default:
		g.between(b)
	}
}

// between takes a byte that stands in no string.
func (g *glimpser) between(b byte) {
	switch b {
	case '"':
		g.literal()
		g.inString = true
	case '{', '[':
		g.literal()
		g.push(b == '[')
	case '}', ']':
		g.literal()
		g.pop()
	case ':':
		if top := g.top(); top != nil && !top.array && g.hasLast {
			top.key = g.last
		}
		g.hasLast = false
	case ',':
		g.literal()
		if top := g.top(); top != nil && !top.array {
			top.key = ""
		}
	case ' ', '\t', '\r', '\n':
		g.literal()
	default:
		g.add(b)
	}
}

func (g *glimpser) add(b byte) {
	if len(g.word) >= longestWord {
		g.long = true
		return
	}
	g.word = append(g.word, b)
}

// take ends the string or literal.
func (g *glimpser) take() (word []byte, ok bool) {
	word, ok = g.word, !g.long
	g.word, g.long = g.word[:0], false
	return word, ok
}

// text takes a string that has ended: a value, or a key if a colon follows.
func (g *glimpser) text() {
	word, ok := g.take()
	if !ok {
		g.hasLast = false
		return
	}
	text := string(word)
	if bytes.IndexByte(word, '\\') >= 0 {
		_ = json.Unmarshal([]byte(`"`+text+`"`), &text) // or as it is
	}
	g.value(text)
	g.last, g.hasLast = text, true
}

// literal takes a number or a word that has ended.
func (g *glimpser) literal() {
	if len(g.word) == 0 {
		return
	}
	if word, ok := g.take(); ok {
		g.value(string(word))
	}
}

// value takes a plain value. Keys come here too, before their colon is seen: as values
// of no member, which does no harm.
func (g *glimpser) value(text string) {
	top := g.top()
	if top == nil {
		return
	}
	if policy.MentionsSuppression([]byte(text)) {
		top.hides |= index.Suppressed
	}
	of := top
	for n := len(g.open) - 1; n > 0 && of.array; n-- {
		of = &g.open[n-1] // of an array the object that it stands in
	}
	switch {
	case top.key == "resourceType" && !top.array && len(of.types) < maxNames:
		of.types = append(of.types, text)
	case top.key == "id" && !top.array && len(of.ids) < maxNames:
		of.ids = append(of.ids, strings.TrimSpace(text))
	case policy.IsState(top.key) && policy.ReadsHidden(text):
		of.hides |= index.Inactive
	}
	if !top.array {
		top.key = "" // a comma may be lost
	}
}

func (g *glimpser) top() *frame {
	if len(g.open) == 0 {
		return nil
	}
	return &g.open[len(g.open)-1]
}

func (g *glimpser) push(array bool) {
	next := frame{array: array}
	if top := g.top(); top != nil {
		next.contained = top.contained || top.key == "contained"
		if array || top.array {
			next.key = top.key
		}
		if !array {
			next.key = ""
		}
	}
	if len(g.open) == 4*maxDepth {
		g.tooDeep++
		return
	}
	g.open = append(g.open, next)
}

// pop ends an object or an array. What is said in it is said of what holds it too.
func (g *glimpser) pop() {
	top := g.top()
	if g.tooDeep > 0 || top == nil {
		g.tooDeep = max(0, g.tooDeep-1)
		return
	}
	closed := *top
	g.open = g.open[:len(g.open)-1]
	if closed.resource() && !closed.contained {
		for _, t := range closed.types {
			for _, id := range closed.ids {
				if s := (sighting{typeLike(t), id, closed.hides}); s.typeName != "Bundle" && fhir.ValidID(id) {
					g.found(s)
				}
			}
		}
	}
	if above := g.top(); above != nil {
		// Of the state of what is inside only a suppression concerns the whole.
		above.hides |= closed.hides & index.Suppressed
		if closed.array {
			above.hides |= closed.hides
		}
	}
}

func (f *frame) resource() bool { return !f.array && len(f.types) > 0 && len(f.ids) > 0 }

// typeLike returns a type name for people, as far as it looks like one; one of the
// directory in other letters is taken for it.
func typeLike(name string) string {
	types := fhir.Types()
	if i := slices.IndexFunc(types, func(t fhir.Type) bool { return strings.EqualFold(t.String(), name) }); i >= 0 {
		return types[i].String()
	}
	if _, err := fhir.ParseReference(name+"/x", ""); err != nil {
		return ""
	}
	return name
}

var _ io.Writer = (*glimpser)(nil)
