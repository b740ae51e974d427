package query

import "strings"

// String prints the query as canonical search text, which [Parse] reads as the same query.
func (q Query) String() string {
	params := make([]string, len(q.Params))
	for i, p := range q.Params {
		params[i] = p.String()
	}
	return q.Type.String() + "?" + strings.Join(params, "&")
}

// String implements [Param].
func (l Criterion) String() string {
	var b strings.Builder
	b.WriteString(l.Name)
	if l.Modifier != "" {
		b.WriteString(":" + l.Modifier)
	}
	b.WriteByte('=')
	for i, v := range l.Values {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(v.String())
	}
	return b.String()
}

// String implements [Param].
func (c Chain) String() string {
	step := c.Ref
	if c.Type != "" {
		step += ":" + c.Type
	}
	return step + "." + c.Next.String()
}

// String implements [Param].
func (h Has) String() string {
	return "_has:" + h.Type + ":" + h.Ref + ":" + h.Next.String()
}

// String implements [Param].
func (i TypeTest) String() string {
	return i.Ref + ".resolve().as(" + i.Type + ")"
}

// escapes are the characters that mean something within a value, as backslash
// escapes, and those that mean something to a URL, as percent-escapes.
var escapes = strings.NewReplacer(
	`\`, `\\`, `,`, `\,`, `|`, `\|`,
	"%", "%25", "&", "%26", "+", "%2B", "#", "%23", " ", "%20",
)

// String prints the value with the escapes that it needs.
func (v Value) String() string {
	parts := make([]string, len(v.Parts))
	for i, part := range v.Parts {
		parts[i] = escapes.Replace(part)
	}
	return strings.Join(parts, "|")
}
