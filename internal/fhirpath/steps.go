package fhirpath

import (
	"bytes"

	"github.com/valyala/fastjson"
)

// step selects elements from one element. Exactly one field is set.
type step struct {
	field string                        // selects the values of this property
	root  string                        // selects the element if it is a resource of this type
	test  func(v *fastjson.Value) truth // selects the element if the condition is true
}

// path is a sequence of steps from an element.
type path []step

// results collects the elements that a path selects. Without keep, it collects only their
// number and the first one.
type results struct {
	list  []*fastjson.Value
	keep  bool
	count int
	first *fastjson.Value
}

// walk applies the steps to v, in document order. It descends into arrays implicitly.
func (p path) walk(v *fastjson.Value, out *results) {
	if v == nil {
		return
	}
	switch v.Type() {
	case fastjson.TypeNull:
		return
	case fastjson.TypeArray:
		items, _ := v.Array()
		for _, item := range items {
			p.walk(item, out)
		}
		return
	}
	if len(p) == 0 {
		if out.count == 0 {
			out.first = v
		}
		out.count++
		if out.keep {
			out.list = append(out.list, v)
		}
		return
	}
	switch s := p[0]; {
	case s.field != "":
		if object, err := v.Object(); err == nil {
			p[1:].walk(object.Get(s.field), out)
		}
	case s.root != "":
		if isResource(v, s.root) {
			p[1:].walk(v, out)
		}
	default:
		if s.test(v) == yes {
			p[1:].walk(v, out)
		}
	}
}

// truth is the value of a condition. FHIRPath has three-valued logic: a comparison with an
// empty collection is neither true nor false, and so is its negation.
type truth uint8

const (
	neither truth = iota
	no
	yes
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// condition tests one element.
type condition func(v *fastjson.Value) truth

func not(c condition) condition {
	return func(v *fastjson.Value) truth {
		switch c(v) {
		case yes:
			return no
		case no:
			return yes
		}
		return neither
	}
}

func and(a, b condition) condition {
	return func(v *fastjson.Value) truth {
		x := a(v)
		if x == no {
			return no
		}
		y := b(v)
		if y == yes {
			return x
		}
		return y
	}
}

func or(a, b condition) condition {
	return func(v *fastjson.Value) truth {
		x := a(v)
		if x == yes {
			return yes
		}
		y := b(v)
		if y == no {
			return x
		}
		return y
	}
}

// exists is true if one of the paths selects an element that meets the condition. The
// condition may be nil.
func exists(paths []path, test condition) condition {
	if test != nil {
		filtered := make([]path, len(paths))
		for i, p := range paths {
			filtered[i] = append(p[:len(p):len(p)], step{test: test})
		}
		paths = filtered
	}
	return func(v *fastjson.Value) truth { return truthOf(find(paths, v).count > 0) }
}

// equals compares the elements that the paths select with a literal. Several elements are
// not equal to a literal, and a comparison with no element is neither true nor false.
func equals(paths []path, same func(*fastjson.Value) bool) condition {
	return func(v *fastjson.Value) truth {
		found := find(paths, v)
		if found.count == 0 {
			return neither
		}
		return truthOf(found.count == 1 && same(found.first))
	}
}

// is is true if the paths select exactly one resource, and it has the type.
func is(paths []path, typeName string) condition {
	return equals(paths, func(v *fastjson.Value) bool { return isResource(v, typeName) })
}

// pointsTo is true if the paths select exactly one literal reference, and it refers to the
// type.
func pointsTo(paths []path, typeName string) condition {
	return equals(paths, func(v *fastjson.Value) bool { return referenceType(v.GetStringBytes("reference")) == typeName })
}

// find evaluates paths for a condition, without a list of results.
func find(paths []path, v *fastjson.Value) results {
	var found results
	for _, p := range paths {
		p.walk(v, &found)
	}
	return found
}

func sameText(literal string) func(*fastjson.Value) bool {
	want := []byte(literal)
	return func(v *fastjson.Value) bool {
		got, err := v.StringBytes()
		return err == nil && bytes.Equal(got, want)
	}
}

func sameBool(literal bool) func(*fastjson.Value) bool {
	want := fastjson.TypeFalse
	if literal {
		want = fastjson.TypeTrue
	}
	return func(v *fastjson.Value) bool { return v.Type() == want }
}

func isResource(v *fastjson.Value, typeName string) bool {
	return string(v.GetStringBytes("resourceType")) == typeName
}

// referenceType returns the type of a literal reference: the segment before the id in
// Type/id, http://base/Type/id and Type/id/_history/n.
func referenceType(reference []byte) string {
	segments := bytes.Split(reference, []byte("/"))
	if n := len(segments); n >= 4 && string(segments[n-2]) == "_history" {
		segments = segments[:n-2]
	}
	if len(segments) < 2 {
		return ""
	}
	return string(segments[len(segments)-2])
}
