package searchtest

import (
	"encoding/json"
	"strconv"
	"strings"
)

// value is one value of a parameter in a resource. The kind of the parameter decides
// which fields are set.
type value struct {
	system, code string // token: as in the resource; see [canonicalSystem]
	text         string // string, uri
	family       bool   // string: a family name
	from, to     int64  // date: ms since 1970, from inclusive, to exclusive
	target       string // reference: Type/id, empty if the target is on another server
	identifier   []value
	number       int
	lat, lon     float64
}

// A reader returns the values of one parameter in a resource.
type reader func(d *Directory, r *Resource) []value

// concat returns a reader of the values of two readers.
func concat(one, two reader) reader {
	return func(d *Directory, r *Resource) []value { return append(one(d, r), two(d, r)...) }
}

// each returns a reader that applies read to each element at a path.
func each(read func(d *Directory, element any) []value, path ...string) reader {
	return func(d *Directory, r *Resource) []value {
		var list []value
		for _, element := range at(r.body, path...) {
			list = append(list, read(d, element)...)
		}
		return list
	}
}

func concepts(path ...string) reader    { return each(concept, path...) }
func codings(path ...string) reader     { return each(coding, path...) }
func identifiers(path ...string) reader { return each(identifier, path...) }
func plain(path ...string) reader       { return each(plainCode, path...) }
func texts(path ...string) reader       { return each(plainText, path...) }
func addresses(path ...string) reader   { return each(address, path...) }
func names(path ...string) reader       { return each(humanName, path...) }
func references(path ...string) reader  { return each(referenceValue, path...) }
func dates(path ...string) reader       { return each(dateValue, path...) }
func periods(path ...string) reader     { return each(periodValue, path...) }

// primaryRole reads the first code of a PractitionerRole. The directory does not hold the others
// (OB-08).
func primaryRole(d *Directory, r *Resource) []value {
	codes := at(r.body, "code")
	if len(codes) == 0 {
		return nil
	}
	return concept(d, codes[0])
}

func coding(_ *Directory, element any) []value {
	return tokenOf(text(element, "system"), text(element, "code"))
}

func concept(d *Directory, element any) []value {
	var list []value
	for _, c := range at(element, "coding") {
		list = append(list, coding(d, c)...)
	}
	return list
}

func identifier(_ *Directory, element any) []value {
	return tokenOf(text(element, "system"), text(element, "value"))
}

// tokenOf returns a token. A token with only a system can be searched for by system.
func tokenOf(system, code string) []value {
	if code == "" && system == "" {
		return nil
	}
	return []value{{system: system, code: code}}
}

// plainCode returns the token of a code or boolean, which has no system.
func plainCode(_ *Directory, element any) []value {
	switch e := element.(type) {
	case bool:
		return []value{{code: strconv.FormatBool(e)}}
	case string:
		return tokenOf("", e)
	}
	return nil
}

// contacts returns a reader of the values of contact points, of one system or of all.
func contacts(system string) reader {
	return each(func(_ *Directory, element any) []value {
		if system != "" && text(element, "system") != system {
			return nil
		}
		return tokenOf("", text(element, "value"))
	}, "telecom")
}

func plainText(_ *Directory, element any) []value {
	s, _ := element.(string)
	if strings.TrimSpace(s) == "" {
		return nil
	}
	return []value{{text: s}}
}

// familyName returns the value of a family name.
func familyName(_ *Directory, element any) []value {
	list := plainText(nil, element)
	for n := range list {
		list[n].family = true
	}
	return list
}

// parts returns the texts of some members of an element as separate values.
func parts(element any, members ...string) []value {
	var list []value
	for _, member := range members {
		for _, part := range at(element, member) {
			list = append(list, plainText(nil, part)...)
		}
	}
	return list
}

func humanName(_ *Directory, element any) []value {
	list := parts(element, "given", "prefix", "suffix", "text")
	for _, family := range at(element, "family") {
		list = append(list, familyName(nil, family)...)
	}
	return list
}

func address(_ *Directory, element any) []value {
	return parts(element, "line", "city", "district", "state", "postalCode", "country", "text")
}

func uris(path ...string) reader {
	return each(func(_ *Directory, element any) []value {
		s, _ := element.(string)
		if s == "" {
			return nil
		}
		return []value{{text: s}}
	}, path...)
}

// referenceValue returns the target of a reference and its identifier, if any. A reference to
// a contained resource or another server has neither, but is there.
func referenceValue(d *Directory, element any) []value {
	v := value{target: d.target(text(element, "reference")), identifier: each(identifier, "identifier")(d, &Resource{body: element.(map[string]any)})}
	if v.target == "" && v.identifier == nil && text(element, "reference") == "" && text(element, "display") == "" {
		return nil
	}
	return []value{v}
}

// target returns the Type/id of a literal reference: relative or below the base URL, with
// or without a version. It returns an empty string for other references.
func (d *Directory) target(reference string) string {
	reference = strings.TrimPrefix(reference, d.base+"/")
	segments := strings.Split(reference, "/")
	if len(segments) == 4 && segments[2] == "_history" {
		segments = segments[:2]
	}
	if len(segments) != 2 || segments[0] == "" || segments[1] == "" || strings.ContainsAny(reference, ":#") {
		return ""
	}
	return segments[0] + "/" + segments[1]
}

func dateValue(d *Directory, element any) []value {
	s, _ := element.(string)
	from, to, ok := d.zone.parse(s)
	if !ok {
		return nil
	}
	return []value{{from: from, to: to}}
}

// periodValue returns the value of a Period. A missing start or end is open.
func periodValue(d *Directory, element any) []value {
	v := value{from: -1 << 62, to: 1 << 62}
	start, end := text(element, "start"), text(element, "end")
	if start == "" && end == "" {
		return nil
	}
	if start != "" {
		v.from, _, _ = d.zone.parse(start)
	}
	if end != "" {
		_, v.to, _ = d.zone.parse(end)
	}
	return []value{v}
}

// timesOfDay returns a reader of the HHMM numbers of a member of availableTime (8.13).
func timesOfDay(member string) reader {
	return each(func(_ *Directory, element any) []value {
		s, _ := element.(string)
		if len(s) < len("08:30") {
			return nil
		}
		n, err := strconv.Atoi(s[0:2] + s[3:5])
		if err != nil {
			return nil
		}
		return []value{{number: n}}
	}, "availableTime", member)
}

// position returns the position of a Location (SR-53).
func position(_ *Directory, r *Resource) []value {
	lat, ok1 := number(r.body, "position", "latitude")
	lon, ok2 := number(r.body, "position", "longitude")
	if !ok1 || !ok2 {
		return nil
	}
	return []value{{lat: lat, lon: lon}}
}

func number(from any, path ...string) (float64, bool) {
	for _, found := range at(from, path...) {
		switch n := found.(type) {
		case float64:
			return n, true
		case json.Number:
			f, err := n.Float64()
			return f, err == nil
		}
	}
	return 0, false
}
