package policy

import (
	"bytes"

	"muster/internal/conformance"

	"github.com/valyala/fastjson"
)

// ConformNames writes the names of version 0.3.0 of the guide in v as those of 26.0.0:
// profiles, extensions, code and identifier systems, and the codes that were renamed with
// their systems. The table of names is that of searches, so queries with either name find the
// resource. The suppression is not a mere name: see [ConformSuppression]. ConformNames reports
// whether it changed something.
func ConformNames(a *fastjson.Arena, v *fastjson.Value) (changed bool) {
	switch v.Type() {
	case fastjson.TypeArray:
		for _, item := range v.GetArray() {
			changed = ConformNames(a, item) || changed
		}
	case fastjson.TypeObject:
		var system, url *fastjson.Value
		v.GetObject().Visit(func(key []byte, member *fastjson.Value) {
			switch member.Type() {
			case fastjson.TypeObject:
				changed = ConformNames(a, member) || changed
			case fastjson.TypeArray:
				if string(key) == "profile" {
					changed = conformProfiles(a, member, !v.Exists("_profile")) || changed
				}
				changed = ConformNames(a, member) || changed
			case fastjson.TypeString:
				switch string(key) {
				case "system":
					system = member
				case "url":
					url = member
				}
			}
		})
		changed = conformSystem(a, v, system) || changed
		changed = conformURL(a, v, url) || changed
	}
	return changed
}

// conformSystem renames the system of v, a Coding or an Identifier, and the code of a Coding.
// A version is that of the old system, so it goes.
func conformSystem(a *fastjson.Arena, v, system *fastjson.Value) bool {
	if system == nil {
		return false
	}
	old := system.GetStringBytes()
	name, renamed := conformance.NewSystem(old)
	if !renamed {
		return false
	}
	if code, ok := conformance.NewCode(string(old), string(v.GetStringBytes("code"))); ok {
		v.Set("code", a.NewString(code.Code))
		if code.Display != "" && v.Exists("display") {
			v.Set("display", a.NewString(code.Display))
		}
	}
	v.Set("system", a.NewString(name))
	v.Del("version")
	return true
}

// conformURL renames the URL of v, an extension.
func conformURL(a *fastjson.Arena, v, url *fastjson.Value) bool {
	if url == nil {
		return false
	}
	name, renamed := conformance.NewCanonical(url.GetStringBytes())
	if renamed {
		v.Set("url", a.NewString(name))
	}
	return renamed
}

// conformProfiles renames the canonicals of a list of profiles. They lose their version, which
// is that of the old guide. If mayRemove is set, a profile that is then listed twice is listed
// once.
func conformProfiles(a *fastjson.Arena, list *fastjson.Value, mayRemove bool) (changed bool) {
	items := list.GetArray()
	var listed map[string]bool // the texts of the list; nil until one is renamed
	var repeated map[*fastjson.Value]bool
	for i := len(items) - 1; i >= 0; i-- {
		canonical, _, _ := bytes.Cut(items[i].GetStringBytes(), []byte("|"))
		name, renamed := conformance.NewCanonical(canonical)
		if !renamed {
			continue
		}
		changed = true
		if listed == nil {
			listed, repeated = texts(items), map[*fastjson.Value]bool{}
		}
		if mayRemove && listed[name] {
			repeated[items[i]] = true
			continue
		}
		listed[name] = true
		list.SetArrayItem(i, a.NewString(name))
	}
	deleteItems(list, func(item *fastjson.Value) bool { return repeated[item] })
	return changed
}

// texts returns the texts among the items of a list.
func texts(items []*fastjson.Value) map[string]bool {
	found := make(map[string]bool, len(items))
	for _, item := range items {
		found[string(item.GetStringBytes())] = true
	}
	return found
}
