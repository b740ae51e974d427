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
	"muster/internal/strictjson"

	"github.com/valyala/fastjson"
)

// This file is a second, lenient reading of refused texts. A refused resource must not
// leave a more public version in the directory, so its name and the signs that it is hidden
// are read from text that is damaged, truncated or not JSON at all.

// candidate is a resource that a refused text seems to contain.
type candidate struct {
	typeName string           // empty if it cannot be read
	id       string           // empty if it cannot be read
	hiddenBy index.Visibility // the flags by which it says that it is hidden
	guessed  bool             // type and id are a guess: ignored unless the directory has the resource
}

// named reports whether the directory may have the resource.
func (c candidate) named() bool {
	_, known := fhir.ParseType(c.typeName)
	return known && c.id != ""
}

// candidateOf returns the candidate of a resource that was parsed as JSON.
func candidateOf(v *fastjson.Value) candidate {
	id := strings.TrimSpace(string(v.GetStringBytes("id")))
	if number := v.Get("id"); number != nil && number.Type() == fastjson.TypeNumber {
		id = number.String()
	}
	if !fhir.ValidID(id) {
		id = ""
	}
	return candidate{typeName: closestType(string(v.GetStringBytes("resourceType"))), id: id, hiddenBy: policy.SaysHidden(v)}
}

// lenientScanner finds the resources in a text by its brackets. It accepts members in any
// order and never fails. It is an [io.Writer], so that memory does not grow with the text.
// The zero value with found set is ready to use. Call [lenientScanner.end] after the last
// write.
type lenientScanner struct {
	found     func(candidate) // is called for each resource that is not contained in another
	contained func(candidate) // is called for each contained resource. Optional
	open      []frame
	tooDeep   int // number of objects and arrays open below the last frame

	inString, escaped bool
	word              []byte // the string or literal that is being read
	long              bool   // word is too long to matter
	last              string // the last string, which is a key if a colon follows
	hasLast           bool

	owned int // number of suppressions inside resources that were found
}

// frame is an object or an array that is open.
type frame struct {
	array bool
	key   string // of the member that is being read; for an array, of the member that holds it

	types, ids []string
	hiddenBy   index.Visibility
	mentions   int  // of suppressions
	contained  bool // inside another resource
}

// maxWord is the maximum length of strings and literals that matter: URLs, ids and codes.
const maxWord = 512

// These limits bound the memory for one text. Real data stays below them: a line has at most
// 8 MiB, and a resource has one type and one id.
const (
	maxCandidates = 20_000
	maxNames      = 4
)

// findCandidates returns the resources in a text, found in two ways. The bracket structure
// assigns each suppression to its resource, but fails if a bracket or a quotation mark is
// missing. Pattern matches do not depend on the structure, but assign an id to the type
// before it.
func findCandidates(text []byte) []candidate {
	var list, contained []candidate
	appendTo := func(list *[]candidate) func(candidate) {
		return func(c candidate) {
			if len(*list) < maxCandidates {
				*list = append(*list, c)
			}
		}
	}
	scanner := lenientScanner{found: appendTo(&list), contained: appendTo(&contained)}
	_, _ = scanner.Write(text)
	scanner.end()
	if bytes.Contains(text, []byte(`\/`)) {
		text = bytes.ReplaceAll(text, []byte(`\/`), []byte(`/`))
	}
	urls := fullURLCandidates(text)
	mentions := countSuppressions(text)
	matches, owned := matchCandidates(text)
	if isOneResource(text) {
		matches = append(matches, crossProduct(text, resourceTypes(text))...)
	}
	if len(list) == 0 && len(matches) == 0 {
		matches = crossProduct(text, mentionedTypes(text))
	}
	trusted := scanner.owned == mentions // the brackets assign every suppression to a resource
	list = mergeMatches(list, append(matches, urls...), contained, trusted)
	switch {
	case !trusted && !owned:
		for n := range list {
			list[n].hiddenBy |= index.Suppressed
		}
	case mentions > 0 && len(list) > 0 && isOneResource(text):
		list[0].hiddenBy |= index.Suppressed // a missing bracket may have ended it too early
	}
	return list
}

// mergeMatches adds pattern matches to the list that the brackets gave, except contained
// resources. If the brackets are not trusted, the flags of both are combined.
func mergeMatches(list, matches, contained []candidate, trusted bool) []candidate {
	type name struct{ typeName, id string }
	positions, isContained := map[name]int{}, map[name]bool{}
	for n, c := range list {
		positions[name{c.typeName, c.id}] = n
	}
	for _, c := range contained {
		isContained[name{c.typeName, c.id}] = true
	}
	for _, c := range matches {
		key := name{c.typeName, c.id}
		n, known := positions[key]
		switch {
		case known && (!trusted || list[n].guessed):
			list[n].hiddenBy |= c.hiddenBy
		case !known && !isContained[key] && len(list) < maxCandidates:
			positions[key] = len(list)
			list = append(list, c)
		}
	}
	return list
}

// isOneResource reports whether a text seems to be one resource, on one line or several: it
// is not a Bundle or an array, and no line after the first starts an object.
func isOneResource(text []byte) bool {
	text = bytes.TrimSpace(text)
	return !bytes.HasPrefix(text, []byte("[")) && !bytes.Contains(text, []byte("\n{")) && !bytes.Contains(text, []byte("Bundle")) && !bytes.Contains(text, []byte("Parameters"))
}

// Patterns for the members of a resource. They match a type with a missing colon or stray
// characters, and an id with a missing quotation mark.
var (
	typeForm  = regexp.MustCompile(`(?i)` + strings.Join(strings.Split("resourceType", ""), `\W?`) + `\W{1,8}([a-z]+)`)
	idForm    = regexp.MustCompile(`(?i)(?:^|[^\w/.\-])i\W?d\b\W{1,8}(?:value\W{1,8})?(?:[^"'\s,]*/)?([a-z0-9\-.]{1,64})["',}\]\s]`)
	stateForm = regexp.MustCompile(`(?i)\b(?:active|status)\b"?\s*:[\s"'\[]*([\w\-.]+)`)
	typeWord  = regexp.MustCompile(`\b(?:Organization|Location|Endpoint|HealthcareService|Practitioner|PractitionerRole|Provenance)\b`)
)

// matchCandidates returns the resources that the patterns find in a text, and whether each
// suppression of the text belongs to one of them. The text between a type and the next type
// belongs to the first. The text before a type belongs to it too if members seem to come in
// another order: no id follows the type, the first id of the text comes before every type,
// or the last id comes before the last type.
func matchCandidates(text []byte) (list []candidate, owned bool) {
	types := typeForm.FindAllSubmatchIndex(text, maxCandidates)
	ids := idForm.FindAllSubmatchIndex(text, maxNames*maxCandidates)
	states := stateForm.FindAllSubmatchIndex(text, maxNames*maxCandidates)
	mentions := suppressionMentions(text)
	flags := func(start, end int) (hiddenBy index.Visibility) {
		if len(between(mentions, start, end)) > 0 {
			hiddenBy |= index.Suppressed
		}
		for _, state := range between(states, start, end) {
			if policy.ReadsHidden(string(text[state[2]:state[3]])) {
				hiddenBy |= index.Inactive
			}
		}
		return hiddenBy
	}
	owned = len(types) > 0 || len(mentions) == 0
	idsFirst := len(types) > 0 && (len(between(ids, 0, types[0][0])) > 0 || len(between(ids, types[len(types)-1][1], len(text))) == 0)
	previous := 0 // the end of the previous type
	for n, match := range types {
		end := len(text)
		if n+1 < len(types) {
			end = types[n+1][0]
		}
		c := candidate{typeName: closestType(string(text[match[2]:match[3]])), guessed: true}
		hiddenBy := flags(match[1], end)
		add := func(ids [][]int, hiddenBy index.Visibility) {
			for _, id := range ids {
				c.id, c.hiddenBy = string(text[id[2]:id[3]]), hiddenBy
				if c.named() && len(list) < maxCandidates {
					list = append(list, c)
				}
			}
		}
		after, before := between(ids, match[1], end), between(ids, previous, match[0])
		found := len(list)
		add(after[:min(maxNames, len(after))], hiddenBy)
		if len(after) == 0 || idsFirst {
			hiddenBy |= flags(previous, match[0])
			add(before[max(0, len(before)-maxNames):], hiddenBy)
		} else if n == 0 && flags(0, match[0])&index.Suppressed != 0 {
			owned = owned && hiddenBy&index.Suppressed != 0 // the suppression comes before every type
		}
		if len(list) == found && hiddenBy&index.Suppressed != 0 {
			owned = false
		}
		previous = match[1]
	}
	return list, owned
}

// between returns the matches that start at start or later and before end. The matches must
// be in the order of the text.
func between(matches [][]int, start, end int) [][]int {
	compare := func(match []int, offset int) int { return match[0] - offset }
	first, _ := slices.BinarySearchFunc(matches, start, compare)
	last, _ := slices.BinarySearchFunc(matches, end, compare)
	return matches[first:last]
}

// resourceTypes returns the types that a text has as values of resourceType.
func resourceTypes(text []byte) (types []fhir.Type) {
	for _, word := range typeForm.FindAllSubmatch(text, maxGuesses) {
		if t, known := fhir.ParseType(closestType(string(word[1]))); known && !slices.Contains(types, t) {
			types = append(types, t)
		}
	}
	return types
}

// mentionedTypes returns the types of the directory whose names occur in a text, or all
// types if there are none.
func mentionedTypes(text []byte) []fhir.Type {
	mentioned := map[string]bool{}
	for _, word := range typeWord.FindAll(text, maxGuesses) {
		mentioned[string(word)] = true
	}
	if len(mentioned) == 0 {
		return fhir.Types()
	}
	return slices.DeleteFunc(slices.Clone(fhir.Types()), func(t fhir.Type) bool { return !mentioned[t.String()] })
}

// maxGuesses limits the types and the ids of one text that are combined.
const maxGuesses = 16

// crossProduct returns the resources that a text of one resource may be: each id of the
// text with each of the types, hidden by all flags of the text.
func crossProduct(text []byte, types []fhir.Type) (list []candidate) {
	hiddenBy := flagsOf(text, stateForm)
	for _, id := range idForm.FindAllSubmatch(text, maxGuesses) {
		for _, t := range types {
			list = append(list, candidate{typeName: t.String(), id: string(id[1]), hiddenBy: hiddenBy, guessed: true})
		}
	}
	return list
}

// flagsOf returns the flags by which a text says that something is hidden. states matches a state
// with its value, in the form of the text.
func flagsOf(text []byte, states *regexp.Regexp) (flags index.Visibility) {
	if countSuppressions(text) > 0 {
		flags |= index.Suppressed
	}
	for _, state := range states.FindAllSubmatch(text, maxCandidates) {
		if policy.ReadsHidden(string(state[1])) {
			flags |= index.Inactive
		}
	}
	return flags
}

// countSuppressions returns how often names of suppressing extensions occur in a text.
func countSuppressions(text []byte) int { return len(suppressionMentions(text)) }

// suppressionMentions returns the offsets at which names of suppressing extensions end.
func suppressionMentions(text []byte) (matches [][]int) {
	for _, end := range policy.AfterSuppressions(text) {
		matches = append(matches, []int{end})
	}
	return matches
}

// Write implements [io.Writer].
func (s *lenientScanner) Write(text []byte) (int, error) {
	for _, b := range text {
		s.byte(b)
	}
	return len(text), nil
}

// end closes all open objects and arrays.
func (s *lenientScanner) end() {
	if s.inString {
		s.take() // truncated, so it may not be an id
	}
	s.literal()
	s.tooDeep = 0
	for len(s.open) > 0 {
		s.pop()
	}
}

// byte reads one byte.
func (s *lenientScanner) byte(b byte) {
	switch {
	case s.inString && s.escaped:
		s.escaped = false
		s.add(b)
	case s.inString && b == '\\':
		s.escaped = true
		s.add(b)
	case s.inString && b == '"':
		s.inString = false
		s.text()
	case s.inString:
		s.add(b)
	default:
		s.between(b)
	}
}

// between reads a byte outside strings.
func (s *lenientScanner) between(b byte) {
	switch b {
	case '"':
		s.literal()
		s.inString = true
	case '{', '[':
		s.literal()
		s.push(b == '[')
	case '}', ']':
		s.literal()
		s.pop()
	case ':':
		if top := s.top(); top != nil && !top.array && s.hasLast {
			top.key = s.last
		}
		s.hasLast = false
	case ',':
		s.literal()
		if top := s.top(); top != nil && !top.array {
			top.key = ""
		}
	case ' ', '\t', '\r', '\n':
		s.literal()
	default:
		s.add(b)
	}
}

// add appends a byte to the current string or literal.
func (s *lenientScanner) add(b byte) {
	if len(s.word) >= maxWord {
		s.long = true
		return
	}
	s.word = append(s.word, b)
}

// take returns and clears the current string or literal. ok is false if it is too long.
func (s *lenientScanner) take() (word []byte, ok bool) {
	word, ok = s.word, !s.long
	s.word, s.long = s.word[:0], false
	return word, ok
}

// text handles the end of a string: a value, or a key if a colon follows.
func (s *lenientScanner) text() {
	word, ok := s.take()
	if !ok {
		s.hasLast = false
		return
	}
	text := string(word)
	if bytes.IndexByte(word, '\\') >= 0 {
		_ = json.Unmarshal([]byte(`"`+text+`"`), &text) // keeps the text on error
	}
	s.value(text)
	s.last, s.hasLast = text, true
}

// literal handles the end of a number or a literal.
func (s *lenientScanner) literal() {
	if len(s.word) == 0 {
		return
	}
	if word, ok := s.take(); ok {
		s.value(string(word))
	}
}

// value handles a primitive value. It also receives keys, before their colon, as values
// without a member, which has no effect.
func (s *lenientScanner) value(text string) {
	top := s.top()
	if top == nil {
		return
	}
	if n := countSuppressions([]byte(text)); n > 0 {
		top.hiddenBy |= index.Suppressed
		top.mentions += n
	}
	object := top
	for n := len(s.open) - 1; n > 0 && object.array; n-- {
		object = &s.open[n-1]
	}
	switch {
	case top.key == "resourceType" && !top.array && len(object.types) < maxNames:
		object.types = append(object.types, text)
	case top.key == "id" && !top.array && len(object.ids) < maxNames:
		object.ids = append(object.ids, strings.TrimSpace(text))
	case policy.IsState(top.key) && policy.ReadsHidden(text):
		object.hiddenBy |= index.Inactive
	}
	if !top.array {
		top.key = "" // a comma may be missing
	}
}

// top returns the innermost open object or array, or nil.
func (s *lenientScanner) top() *frame {
	if len(s.open) == 0 {
		return nil
	}
	return &s.open[len(s.open)-1]
}

// push opens an object or an array.
func (s *lenientScanner) push(array bool) {
	next := frame{array: array}
	if top := s.top(); top != nil {
		next.contained = top.contained || top.key == "contained"
		if array || top.array {
			next.key = top.key
		}
		if !array {
			next.key = ""
		}
	}
	if len(s.open) == 4*strictjson.MaxDepth {
		s.tooDeep++
		return
	}
	s.open = append(s.open, next)
}

// pop closes an object or an array. Its flags also apply to its parent.
func (s *lenientScanner) pop() {
	top := s.top()
	if s.tooDeep > 0 || top == nil {
		s.tooDeep = max(0, s.tooDeep-1)
		return
	}
	closed := *top
	s.open = s.open[:len(s.open)-1]
	if closed.resource() {
		closed.mentions = s.report(closed)
	}
	if above := s.top(); above != nil {
		// An inactive part does not make the whole inactive; a suppressed part suppresses
		// it.
		above.hiddenBy |= closed.hiddenBy & index.Suppressed
		if closed.array {
			above.hiddenBy |= closed.hiddenBy
		}
		above.mentions += closed.mentions
	}
}

// report reports the resources that a closed object may be. It returns the number of
// suppressions in it that belong to no reported resource.
func (s *lenientScanner) report(closed frame) (mentions int) {
	found, owned := s.found, false
	if closed.contained {
		found = s.contained
	}
	for _, t := range closed.types {
		for _, id := range closed.ids {
			if c := (candidate{typeName: closestType(t), id: id, hiddenBy: closed.hiddenBy}); c.typeName != "Bundle" && fhir.ValidID(id) && found != nil {
				found(c)
				owned = !closed.contained
			}
		}
	}
	if !owned {
		return closed.mentions
	}
	s.owned += closed.mentions
	return 0
}

// resource reports whether a frame is an object with a type and an id.
func (f *frame) resource() bool { return !f.array && len(f.types) > 0 && len(f.ids) > 0 }

// closestType returns the type name that a text means, or "" if it does not look like a
// type name. A name that differs from a type of the directory in case or in one edit is
// taken as that type, since FHIR has no other type so close.
func closestType(name string) string {
	types := fhir.Types()
	name = strings.TrimSpace(name)
	if i := slices.IndexFunc(types, func(t fhir.Type) bool { return withinOneEdit(strings.ToLower(t.String()), strings.ToLower(name)) }); i >= 0 {
		return types[i].String()
	}
	if _, err := fhir.ParseReference(name + "/x"); err != nil {
		return ""
	}
	return name
}

// withinOneEdit reports whether two words differ by at most one deletion, insertion,
// substitution or transposition of adjacent letters.
func withinOneEdit(a, b string) bool {
	if d := len(a) - len(b); d < -1 || d > 1 {
		return false
	}
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	a, b = a[n:], b[n:]
	switch {
	case len(a) > len(b):
		return a[1:] == b
	case len(a) < len(b):
		return a == b[1:]
	case len(a) == 0 || a[1:] == b[1:]:
		return true
	}
	return a[0] == b[1] && a[1] == b[0] && a[2:] == b[2:]
}

var _ io.Writer = (*lenientScanner)(nil)
