package load

import (
	"bytes"
	"regexp"

	"muster/internal/fhir"
)

// An entry whose resource has no id is stored under an id that is derived from its fullUrl.
// The names in this file are those of such entries in texts that cannot be loaded.

var fullURLForm = regexp.MustCompile(`"fullUrl"\W{1,8}([^"\s]{1,512})"`)

// fullURLCandidates returns the resources that the fullUrls of a text may stand for. All are
// guesses, and nothing else has a derived id. If each fullUrl precedes its resource, the text
// until the next one applies to it; otherwise also the text before it.
func fullURLCandidates(text []byte) (list []candidate) {
	if !bytes.Contains(text, []byte("ullU")) { // most texts have none
		return nil
	}
	urls := fullURLForm.FindAllSubmatchIndex(text, maxCandidates)
	first := len(urls) > 0 && precedes(urls[0], text)
	for n, match := range urls {
		start := match[1]
		if !first {
			start = 0
			if n > 0 {
				start = urls[n-1][1]
			}
		}
		part := untilType(text, start, urls[n+1:])
		hiddenBy := flagsOf(part, stateForm)
		types := resourceTypes(part)
		if len(types) == 0 {
			types = fhir.Types()
		}
		for _, t := range types {
			id := idOfURL(string(text[match[2]:match[3]]), t.String())
			if id != "" && len(list) < maxCandidates {
				list = append(list, candidate{typeName: t.String(), id: id, hiddenBy: hiddenBy, guessed: true})
			}
		}
	}
	return list
}

// untilType returns the text from start to the first of the next fullUrls before which there
// is a type, since an entry may have several by mistake.
func untilType(text []byte, start int, next [][]int) []byte {
	for n, url := range next[:min(len(next), maxNames)] {
		if part := text[start:url[0]]; n == maxNames-1 || typeForm.Match(part) {
			return part
		}
	}
	return text[start:]
}

// precedes reports whether a fullUrl comes before the first type of an entry.
func precedes(url []int, text []byte) bool {
	for _, word := range typeForm.FindAllSubmatchIndex(text[:url[0]], maxGuesses) {
		if _, known := fhir.ParseType(closestType(string(text[word[2]:word[3]]))); known {
			return false
		}
	}
	return true
}

// urlScanner is an [io.Writer] that calls found for the candidates of fullUrls in a text of
// any length. Call end after the last write.
type urlScanner struct {
	found func(candidate)
	text  []byte
}

// Write implements [io.Writer]. A resource of the maximum size is in one of the parts whole.
func (s *urlScanner) Write(text []byte) (int, error) {
	s.text = append(s.text, text...)
	if len(s.text) > 3*fhir.MaxLine {
		s.end()
		s.text = append(s.text[:0], s.text[len(s.text)-fhir.MaxLine:]...)
	}
	return len(text), nil
}

// end reports the candidates of the rest.
func (s *urlScanner) end() {
	for _, c := range fullURLCandidates(s.text) {
		s.found(c)
	}
}
