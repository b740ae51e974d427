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

// candidate is a resource in input that is refused, as far as it can be read: which one
// it is, and by which flags it says that it is hidden.
type candidate struct {
	typeName string // empty if it cannot be read
	id       string // empty if it cannot be read
	hiddenBy index.Visibility
	// unsure says that the name is a guess. It counts only where the directory has such a
	// resource.
	guessed bool
}

// named reports whether the directory may have the resource.
func (s candidate) named() bool {
	_, known := fhir.ParseType(s.typeName)
	return known && s.id != ""
}

// candidateOf is that of a resource that could be read as JSON.
func candidateOf(v *fastjson.Value) candidate {
	id := strings.TrimSpace(string(v.GetStringBytes("id")))
	if said := v.Get("id"); said != nil && said.Type() == fastjson.TypeNumber {
		id = said.String()
	}
	if !fhir.ValidID(id) {
		id = ""
	}
	return candidate{typeName: closestType(string(v.GetStringBytes("resourceType"))), id: id, hiddenBy: policy.SaysHidden(v)}
}

// lenientScanner finds the resources in a text that is no JSON, or not JSON enough to be
// committed: a refused resource must not leave a more public version in place. It reads
// what there is, in whatever order, and never fails. It is an [io.Writer], so a text of
// any length costs little memory. The zero value with found set is ready; end it with
// [glimpser.end].
type lenientScanner struct {
	found     func(candidate)
	contained func(candidate) // is told of contained resources; nil for nobody
	open      []frame
	tooDeep   int // objects and arrays that are open below them

	inString, escaped bool
	word              []byte // the string or the literal that is being read
	long              bool   // it is too long to matter
	last              string // the last string, which becomes a key if a colon follows
	hasLast           bool

	owned int // of suppressions that stand in a resource that was found
}

// frame is an object or an array that is open.
type frame struct {
	array bool
	key   string // of the member that is being read; of an array the one it stands under

	types, ids []string
	hiddenBy   index.Visibility
	mentions   int  // of suppressions
	contained  bool // inside of another resource
}

// maxWord is how long strings and literals may be that matter: URLs, ids, codes.
const maxWord = 512

// What is remembered of one text at most. Texts that have more are nobody's data: a
// line has at most 8 MiB, and a resource one type and one id.
const (
	maxCandidates = 20_000
	maxNames      = 4
)

// findCandidates returns the resources in a text, by its brackets and by its words. Brackets tell
// whose a suppression is as long as none is lost, and no quotation mark. Words do not depend on
// them, but take an id for that of the type before it.
func findCandidates(text []byte) []candidate {
	var list, inside []candidate
	to := func(list *[]candidate) func(candidate) {
		return func(s candidate) {
			if len(*list) < maxCandidates {
				*list = append(*list, s)
			}
		}
	}
	g := lenientScanner{found: to(&list), contained: to(&inside)}
	_, _ = g.Write(text)
	g.end()
	if bytes.Contains(text, []byte(`\/`)) {
		text = bytes.ReplaceAll(text, []byte(`\/`), []byte(`/`))
	}
	mentions := countSuppressions(text)
	words, owned := matchCandidates(text)
	if isOneResource(text) {
		words = append(words, crossProduct(text, resourceTypes(text))...)
	}
	if len(list) == 0 && len(words) == 0 {
		words = crossProduct(text, mentionedTypes(text))
	}
	trusted := g.owned == mentions // every suppression has an owner by the brackets
	list = mergeMatches(list, words, inside, trusted)
	switch {
	case !trusted && !owned:
		for n := range list {
			list[n].hiddenBy |= index.Suppressed
		}
	case mentions > 0 && len(list) > 0 && isOneResource(text):
		list[0].hiddenBy |= index.Suppressed // a lost bracket may have ended it too early
	}
	return list
}

// mergeMatches adds what only the words of a text tell to what its brackets tell, but for what
// stands inside of a resource. Where the brackets cannot be trusted, both tell who is hidden.
func mergeMatches(list, words, inside []candidate, trusted bool) []candidate {
	type name struct{ typeName, id string }
	at, contained := map[name]int{}, map[name]bool{}
	for n, s := range list {
		at[name{s.typeName, s.id}] = n
	}
	for _, s := range inside {
		contained[name{s.typeName, s.id}] = true
	}
	for _, s := range words {
		key := name{s.typeName, s.id}
		n, known := at[key]
		switch {
		case known && (!trusted || list[n].guessed):
			list[n].hiddenBy |= s.hiddenBy
		case !known && !contained[key] && len(list) < maxCandidates:
			at[key] = len(list)
			list = append(list, s)
		}
	}
	return list
}

// isOneResource reports whether a text seems to be one resource, on one line or several: it
// is no Bundle and no array, and no line but the first begins another one.
func isOneResource(text []byte) bool {
	text = bytes.TrimSpace(text)
	return !bytes.HasPrefix(text, []byte("[")) && !bytes.Contains(text, []byte("\n{")) && !bytes.Contains(text, []byte("Bundle")) && !bytes.Contains(text, []byte("Parameters"))
}

// The words of a resource. A type may have lost its colon or have something in between, an
// id may have lost a quotation mark.
var (
	typeForm  = regexp.MustCompile(`(?i)` + strings.Join(strings.Split("resourceType", ""), `\W?`) + `\W{1,8}([a-z]+)`)
	idForm    = regexp.MustCompile(`(?i)(?:^|[^\w/.\-])i\W?d\b\W{1,8}(?:value\W{1,8})?(?:[^"'\s,]*/)?([a-z0-9\-.]{1,64})["',}\]\s]`)
	stateForm = regexp.MustCompile(`(?i)\b(?:active|status)\b"?\s*:[\s"'\[]*([\w\-.]+)`)
	typeWord  = regexp.MustCompile(`\b(?:Organization|Location|Endpoint|HealthcareService|Practitioner|PractitionerRole|Provenance)\b`)
)

// matchCandidates returns the resources in a text by their words, and whether each suppression in it
// is one of them. What stands between a type and the next one is said of it. What stands
// before it is said of it too where members seem to come in another order: a type has no id
// behind it, the first id of the text stands before every type, or the last one before the last
// type.
func matchCandidates(text []byte) (list []candidate, owned bool) {
	types := typeForm.FindAllSubmatchIndex(text, maxCandidates)
	ids := idForm.FindAllSubmatchIndex(text, maxNames*maxCandidates)
	states := stateForm.FindAllSubmatchIndex(text, maxNames*maxCandidates)
	mentions := suppressionMentions(text)
	said := func(from, to int) (hides index.Visibility) {
		if len(between(mentions, from, to)) > 0 {
			hides |= index.Suppressed
		}
		for _, state := range between(states, from, to) {
			if policy.ReadsHidden(string(text[state[2]:state[3]])) {
				hides |= index.Inactive
			}
		}
		return hides
	}
	owned = len(types) > 0 || len(mentions) == 0
	idsFirst := len(types) > 0 && (len(between(ids, 0, types[0][0])) > 0 || len(between(ids, types[len(types)-1][1], len(text))) == 0)
	before := 0
	for n, at := range types {
		end := len(text)
		if n+1 < len(types) {
			end = types[n+1][0]
		}
		s := candidate{typeName: closestType(string(text[at[2]:at[3]])), guessed: true}
		mine := said(at[1], end)
		add := func(ids [][]int, hides index.Visibility) {
			for _, id := range ids {
				s.id, s.hiddenBy = string(text[id[2]:id[3]]), hides
				if s.named() && len(list) < maxCandidates {
					list = append(list, s)
				}
			}
		}
		behind, ahead := between(ids, at[1], end), between(ids, before, at[0])
		found := len(list)
		add(behind[:min(maxNames, len(behind))], mine)
		if len(behind) == 0 || idsFirst {
			mine |= said(before, at[0])
			add(ahead[max(0, len(ahead)-maxNames):], mine)
		} else if n == 0 && said(0, at[0])&index.Suppressed != 0 {
			owned = owned && mine&index.Suppressed != 0 // else it stands before everything
		}
		if len(list) == found && mine&index.Suppressed != 0 {
			owned = false
		}
		before = at[1]
	}
	return list, owned
}

// between returns the places of a list, in the order of a text, that begin from one place
// on and before another.
func between(places [][]int, from, to int) [][]int {
	begin := func(place []int, at int) int { return place[0] - at }
	first, _ := slices.BinarySearchFunc(places, from, begin)
	last, _ := slices.BinarySearchFunc(places, to, begin)
	return places[first:last]
}

// resourceTypes returns the types that a text names as those of resources.
func resourceTypes(text []byte) (types []fhir.Type) {
	for _, word := range typeForm.FindAllSubmatch(text, maxGuesses) {
		if t, known := fhir.ParseType(closestType(string(word[1]))); known && !slices.Contains(types, t) {
			types = append(types, t)
		}
	}
	return types
}

// mentionedTypes returns the types of the directory that a text has the names of, or all if it
// has none.
func mentionedTypes(text []byte) []fhir.Type {
	spoken := map[string]bool{}
	for _, word := range typeWord.FindAll(text, maxGuesses) {
		spoken[string(word)] = true
	}
	if len(spoken) == 0 {
		return fhir.Types()
	}
	return slices.DeleteFunc(slices.Clone(fhir.Types()), func(t fhir.Type) bool { return !spoken[t.String()] })
}

// maxGuesses is how many types and how many ids of one text are paired at most.
const maxGuesses = 16

// crossProduct returns the resources that a text of one resource may be about: every id in it of
// every one of the types, which says all that the text says.
func crossProduct(text []byte, types []fhir.Type) (list []candidate) {
	hides := index.Visibility(0)
	if countSuppressions(text) > 0 {
		hides |= index.Suppressed
	}
	for _, state := range stateForm.FindAllSubmatch(text, maxGuesses) {
		if policy.ReadsHidden(string(state[1])) {
			hides |= index.Inactive
		}
	}
	for _, id := range idForm.FindAllSubmatch(text, maxGuesses) {
		for _, t := range types {
			list = append(list, candidate{typeName: t.String(), id: string(id[1]), hiddenBy: hides, guessed: true})
		}
	}
	return list
}

// countSuppressions counts the names of extensions that suppress in a text.
func countSuppressions(text []byte) int { return len(suppressionMentions(text)) }

// suppressionMentions returns where the names of extensions that suppress end in a text.
func suppressionMentions(text []byte) (places [][]int) {
	for at := 0; ; {
		end := policy.AfterSuppression(text[at:])
		if end < 0 {
			return places
		}
		at += end
		places = append(places, []int{at})
	}
}

// Write implements [io.Writer].
func (g *lenientScanner) Write(text []byte) (int, error) {
	for _, b := range text {
		g.byte(b)
	}
	return len(text), nil
}

// end takes what is open for closed.
func (g *lenientScanner) end() {
	if g.inString {
		g.take() // it is cut off, so it may not be an id
	}
	g.literal()
	g.tooDeep = 0
	for len(g.open) > 0 {
		g.pop()
	}
}

func (g *lenientScanner) byte(b byte) {
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
func (g *lenientScanner) between(b byte) {
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

func (g *lenientScanner) add(b byte) {
	if len(g.word) >= maxWord {
		g.long = true
		return
	}
	g.word = append(g.word, b)
}

// take ends the string or literal.
func (g *lenientScanner) take() (word []byte, ok bool) {
	word, ok = g.word, !g.long
	g.word, g.long = g.word[:0], false
	return word, ok
}

// text takes a string that has ended: a value, or a key if a colon follows.
func (g *lenientScanner) text() {
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
func (g *lenientScanner) literal() {
	if len(g.word) == 0 {
		return
	}
	if word, ok := g.take(); ok {
		g.value(string(word))
	}
}

// value takes a plain value. Keys come here too, before their colon is seen: as values
// of no member, which does no harm.
func (g *lenientScanner) value(text string) {
	top := g.top()
	if top == nil {
		return
	}
	if n := countSuppressions([]byte(text)); n > 0 {
		top.hiddenBy |= index.Suppressed
		top.mentions += n
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
		of.hiddenBy |= index.Inactive
	}
	if !top.array {
		top.key = "" // a comma may be lost
	}
}

func (g *lenientScanner) top() *frame {
	if len(g.open) == 0 {
		return nil
	}
	return &g.open[len(g.open)-1]
}

func (g *lenientScanner) push(array bool) {
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
	if len(g.open) == 4*strictjson.MaxDepth {
		g.tooDeep++
		return
	}
	g.open = append(g.open, next)
}

// pop ends an object or an array. What is said in it is said of what holds it too.
func (g *lenientScanner) pop() {
	top := g.top()
	if g.tooDeep > 0 || top == nil {
		g.tooDeep = max(0, g.tooDeep-1)
		return
	}
	closed := *top
	g.open = g.open[:len(g.open)-1]
	if closed.resource() {
		closed.mentions = g.report(closed)
	}
	if above := g.top(); above != nil {
		// Of the state of what is inside only a suppression concerns the whole.
		above.hiddenBy |= closed.hiddenBy & index.Suppressed
		if closed.array {
			above.hiddenBy |= closed.hiddenBy
		}
		above.mentions += closed.mentions
	}
}

// tell tells of a resource that has ended, and returns how many suppressions in it have no
// owner yet.
func (g *lenientScanner) report(closed frame) (mentions int) {
	to, owned := g.found, false
	if closed.contained {
		to = g.contained
	}
	for _, t := range closed.types {
		for _, id := range closed.ids {
			if s := (candidate{typeName: closestType(t), id: id, hiddenBy: closed.hiddenBy}); s.typeName != "Bundle" && fhir.ValidID(id) && to != nil {
				to(s)
				owned = !closed.contained
			}
		}
	}
	if !owned {
		return closed.mentions
	}
	g.owned += closed.mentions
	return 0
}

func (f *frame) resource() bool { return !f.array && len(f.types) > 0 && len(f.ids) > 0 }

// closestType returns a type name for people, as far as it looks like one. One of the directory
// in other letters, or with one letter wrong, is taken for it: FHIR has no other type that
// is so near.
func closestType(name string) string {
	types := fhir.Types()
	name = strings.TrimSpace(name)
	if i := slices.IndexFunc(types, func(t fhir.Type) bool { return withinOneEdit(strings.ToLower(t.String()), strings.ToLower(name)) }); i >= 0 {
		return types[i].String()
	}
	if _, err := fhir.ParseReference(name+"/x", ""); err != nil {
		return ""
	}
	return name
}

// withinOneEdit reports whether two words are equal but for one letter that is lost, added or
// another one, or for two that changed places.
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
