package audit

import "strings"

// tokenNames are the parameters of tokens that clients also write outside the query.
var tokenNames = []string{"access_token=", "refresh_token=", "id_token="}

// WithoutTokens returns a client's text with "…" in place of each token (AD-02), wherever the
// client has put it: a JSON Web Token, what follows the word Bearer, and the value of a parameter
// that is written outside the query. It reads the text once, since it is called for each request.
func WithoutTokens(text string) string {
	var out strings.Builder
	done := 0 // bytes of text that are in out
	for n := 0; n < len(text); {
		from, to := token(text[n:])
		if to == 0 {
			n++
			continue
		}
		out.WriteString(text[done : n+from])
		out.WriteString("…")
		n += to
		done = n
	}
	if done == 0 {
		return text
	}
	out.WriteString(text[done:])
	return out.String()
}

// token returns the place of the token that the beginning of a text announces, or to = 0.
func token(text string) (from, to int) {
	switch text[0] | 0x20 { // lower case
	case 'b':
		if begins(text, "bearer") {
			from = len("bearer") + separators(text[len("bearer"):])
			if from > len("bearer") {
				return from, endOfValue(text, from)
			}
		}
	case 'e':
		if begins(text, "eyj") {
			return 0, endOfJWT(text)
		}
	case 'a', 'r', 'i':
		for _, name := range tokenNames {
			if begins(text, name) {
				return len(name), endOfValue(text, len(name))
			}
		}
	}
	return 0, 0
}

// begins reports whether a text begins with a word in any case.
func begins(text, word string) bool {
	return len(text) >= len(word) && strings.EqualFold(text[:len(word)], word)
}

// separators returns the length of the spaces at the beginning of a text, plain or encoded.
func separators(text string) (n int) {
	for {
		switch rest := text[n:]; {
		case strings.HasPrefix(rest, " "), strings.HasPrefix(rest, "+"):
			n++
		case strings.HasPrefix(rest, "%20"):
			n += len("%20")
		default:
			return n
		}
	}
}

// endOfValue returns the end of a value that begins at from, or 0 if it is empty.
func endOfValue(text string, from int) int {
	length := strings.IndexAny(text[from:], "&;# \t\n\f\r")
	if length < 0 {
		length = len(text) - from
	}
	if length == 0 {
		return 0
	}
	return from + length
}

// endOfJWT returns the end of a JSON Web Token at the beginning of a text, or 0 if the text is too
// short for one.
func endOfJWT(text string) int {
	const least = len("eyJ") + 8
	end := 0
	for end < len(text) && isTokenByte(text[end]) {
		end++
	}
	if end < least {
		return 0
	}
	for end < len(text) && (text[end] == '.' || isTokenByte(text[end])) {
		end++
	}
	return end
}

// isTokenByte reports whether a byte can be in a part of a JSON Web Token.
func isTokenByte(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c == '-'
}
