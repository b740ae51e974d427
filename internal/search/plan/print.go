package plan

import (
	"fmt"
	"strings"

	"muster/internal/search/index"
)

// String returns the plan as an indented tree with one node on each line. Parameters are
// printed by their numbers, instants in UTC.
func (p Plan) String() string {
	var b strings.Builder
	b.WriteString(p.Type.String())
	b.WriteByte('\n')
	write(&b, p.Root, 1)
	return b.String()
}

// write prints a node, and its children on the next lines with more indentation.
func write(b *strings.Builder, n Node, depth int) {
	b.WriteString(strings.Repeat("  ", depth))
	b.WriteString(describe(n))
	b.WriteByte('\n')
	switch n := n.(type) {
	case And:
		for _, child := range n {
			write(b, child, depth+1)
		}
	case Or:
		for _, child := range n {
			write(b, child, depth+1)
		}
	case Not:
		write(b, n.Node, depth+1)
	case Chain:
		write(b, n.Node, depth+1)
	case Has:
		write(b, n.Node, depth+1)
	}
}

// describe returns a node without its children.
func describe(n Node) string {
	switch n := n.(type) {
	case And:
		return "and"
	case Or:
		return "or"
	case Not:
		return "not"
	case IDs:
		return "id " + strings.Join(n, " ")
	case Updated:
		return "updated " + n.Compare.String()
	case Since:
		return "committed after " + n.After.String()
	case Visible:
		return "visible" + flag(n.Active, " active") + flag(n.NotSuppressed, " not-suppressed")
	case Token:
		return fmt.Sprintf("token %d system %s code %s", n.Param, optional(n.System), optional(n.Code))
	case String:
		if n.Exact {
			return fmt.Sprintf("string %d is %q", n.Param, n.Text)
		}
		if n.Contains {
			return fmt.Sprintf("string %d contains %q", n.Param, n.Text)
		}
		return fmt.Sprintf("string %d starts %q", n.Param, n.Text)
	case Date:
		return fmt.Sprintf("date %d %s", n.Param, n.Compare)
	case Reference:
		return fmt.Sprintf("reference %d to %s/%s", n.Param, orAny(n.Type), orAny(n.ID))
	case URI:
		return fmt.Sprintf("uri %d is %q", n.Param, n.Value)
	case TokenPart:
		return fmt.Sprintf("token %d system %s code contains %q", n.Param, optional(n.System), n.Text)
	case Number:
		return fmt.Sprintf("number %d %s %d", n.Param, n.Prefix, n.Value)
	case Near:
		return fmt.Sprintf("near %d within %g m of %g %g", n.Param, n.Meters, n.Point.Latitude, n.Point.Longitude)
	case Chain:
		return fmt.Sprintf("link %d to a %s with", n.Param, n.Type)
	case Has:
		return fmt.Sprintf("back from a %s by %d with", n.Type, n.Param)
	case AllVisible:
		return fmt.Sprintf("all that %d refers to %s", n.Param, describe(n.Visible))
	case Present:
		return fmt.Sprintf("present %s %d", kindNames[n.Kind], n.Param)
	default:
		return fmt.Sprintf("unknown node %T", n)
	}
}

var kindNames = map[index.Kind]string{
	index.Token: "token", index.String: "string", index.Date: "date", index.Reference: "reference", index.URI: "uri",
	index.Number: "number", index.Location: "position",
}

// String returns the comparison with its half-open period: ge [from, to).
func (c Comparison) String() string {
	return fmt.Sprintf("%s [%s, %s)", c.Prefix, c.Period.From, c.Period.To)
}

func flag(set bool, name string) string {
	if set {
		return name
	}
	return ""
}

func optional(s *string) string {
	if s == nil {
		return "*"
	}
	return fmt.Sprintf("%q", *s)
}

func orAny(s string) string {
	if s == "" {
		return "*"
	}
	return s
}

// String returns the order, such as "string 12 descending".
func (o Order) String() string {
	by := string(o.By)
	if by == "" {
		by = fmt.Sprintf("%s %d", kindNames[o.Kind], o.Param)
	}
	if o.Point != nil {
		by += fmt.Sprintf(" from %g %g", o.Point.Latitude, o.Point.Longitude)
	}
	return by + flag(o.Descending, " descending")
}
