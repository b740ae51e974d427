package query

import (
	"slices"
	"strings"
)

// String returns canonical text, which [Parse] reads as the same query.
func (q Query) String() string {
	params := make([]string, len(q.Params))
	for i, p := range q.Params {
		params[i] = p.String()
	}
	return q.Type.String() + "?" + strings.Join(params, "&")
}

// Canonical returns canonical text that is the same for queries that differ only in the order, or the
// repetition, of criteria and alternatives.
func (q Query) Canonical() string {
	var params []string
	for _, p := range q.Params {
		params = append(params, ordered(p).String())
	}
	slices.Sort(params)
	return q.Type.String() + "?" + strings.Join(slices.Compact(params), "&")
}

// ordered returns a criterion with its alternatives in their order as text.
func ordered(p Param) Param {
	switch p := p.(type) {
	case Criterion:
		compare := func(a, b Value) int { return strings.Compare(a.String(), b.String()) }
		values := slices.SortedFunc(slices.Values(p.Values), compare)
		p.Values = slices.CompactFunc(values, func(a, b Value) bool { return compare(a, b) == 0 })
		return p
	case Chain:
		p.Next = ordered(p.Next)
		return p
	case Has:
		p.Next = ordered(p.Next)
		return p
	}
	return p
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

// escapes writes characters with a meaning in values as backslash escapes, and characters
// with a meaning in URLs as percent-escapes.
var escapes = strings.NewReplacer(
	`\`, `\\`, `,`, `\,`, `|`, `\|`,
	"%", "%25", "&", "%26", "+", "%2B", "#", "%23", " ", "%20",
)

// String returns the value with the necessary escapes.
func (v Value) String() string {
	parts := make([]string, len(v.Parts))
	for i, part := range v.Parts {
		parts[i] = escapes.Replace(part)
	}
	return strings.Join(parts, "|")
}
