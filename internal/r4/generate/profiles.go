package main

import (
	"encoding/xml"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// unbounded is a maximum of *.
const unbounded = -1

// profile is one profile of a resource type or of Identifier. Paths begin below the type; a
// slice is written as in FSH: identifier[hpio].
type profile struct {
	id, parent string
	ranges     map[string]limits
	only       map[string]string // path of a slice → the profile of its type or its extension
	fixed      map[string]string // path → its fixed or pattern value
}

type limits struct{ min, max int }

// and returns the limits that meet both.
func (l limits) and(o limits) limits {
	l.min = max(l.min, o.min)
	if l.max == unbounded || o.max != unbounded && o.max < l.max {
		l.max = o.max
	}
	return l
}

// profiles are the profiles of the guide and of the guides it is built on, by the names that
// other profiles use for them.
type profiles struct {
	byName  map[string]*profile
	guide   []*profile        // profiles of the guide, in the order of its files
	aliases map[string]string // names of canonicals in FSH
	urls    map[string]string // names of extensions in FSH → canonicals
}

// readProfiles reads the sources of the three guides.
func readProfiles(guide, core, base string) (*profiles, error) {
	p := &profiles{byName: map[string]*profile{}, aliases: map[string]string{}, urls: map[string]string{}}
	for _, dir := range []string{base, core} {
		files, err := filepath.Glob(filepath.Join(dir, "au-*.xml"))
		if err != nil || len(files) == 0 {
			return nil, fmt.Errorf("no profiles in %s", dir)
		}
		for _, file := range files {
			if err := p.readXML(file); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	for _, folder := range []string{"Supporting Files", "Extensions", "Profiles"} {
		files, err := filepath.Glob(filepath.Join(guide, folder, "*.fsh"))
		if err != nil || len(files) == 0 {
			return nil, fmt.Errorf("no files in %s", filepath.Join(guide, folder))
		}
		for _, file := range files {
			if err := p.readFSH(file); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	return p, nil
}

// xmlProfile is a StructureDefinition in XML.
type xmlProfile struct {
	ID   xmlValue `xml:"id"`
	Base xmlValue `xml:"baseDefinition"`
	List []struct {
		ID      string     `xml:"id,attr"`
		Min     xmlValue   `xml:"min"`
		Max     xmlValue   `xml:"max"`
		Fixed   xmlValue   `xml:"fixedUri"`
		Profile []xmlValue `xml:"type>profile"`
		System  xmlValue   `xml:"patternCodeableConcept>coding>system"`
		Code    xmlValue   `xml:"patternCodeableConcept>coding>code"`
	} `xml:"differential>element"`
}

type xmlValue struct {
	Value string `xml:"value,attr"`
}

// readXML reads a profile of AU Base or AU Core.
func (p *profiles) readXML(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var x xmlProfile
	if err := xml.Unmarshal(text, &x); err != nil {
		return err
	}
	one := newProfile(x.ID.Value, lastSegment(x.Base.Value))
	p.byName[one.id] = one
	for _, e := range x.List {
		_, path, below := strings.Cut(e.ID, ".")
		if !below {
			continue
		}
		path = sliceName.ReplaceAllString(path, "[$1]")
		if e.Min.Value != "" || e.Max.Value != "" {
			if err := one.limit(path, e.Min.Value, e.Max.Value); err != nil {
				return err
			}
		}
		if len(e.Profile) == 1 {
			one.only[path] = e.Profile[0].Value
		}
		switch {
		case e.Fixed.Value != "":
			one.fixed[path] = e.Fixed.Value
		case e.Code.Value != "":
			one.fixed[path] = e.System.Value + "|" + e.Code.Value
		}
	}
	return nil
}

// sliceName finds the name of a slice in the id of an element: identifier:hpio.
var sliceName = regexp.MustCompile(`:([A-Za-z0-9_-]+)`)

func newProfile(id, parent string) *profile {
	return &profile{id, parent, map[string]limits{}, map[string]string{}, map[string]string{}}
}

// limit narrows the cardinality of a path. An empty text leaves a side open.
func (p *profile) limit(path, least, most string) error {
	l := limits{0, unbounded}
	var err error
	if least != "" {
		if l.min, err = strconv.Atoi(least); err != nil {
			return err
		}
	}
	if most != "" && most != "*" {
		if l.max, err = strconv.Atoi(most); err != nil {
			return err
		}
	}
	if known, ok := p.ranges[path]; ok {
		l = known.and(l)
	}
	p.ranges[path] = l
	return nil
}

// The rules of FSH that the table needs.
var (
	fshHeader   = regexp.MustCompile(`^(Profile|Extension|Parent|Id|Alias|Instance|Invariant|RuleSet): *(.*)$`)
	fshContains = regexp.MustCompile(`^(\S+) contains (.+)$`)
	fshItem     = regexp.MustCompile(`^(\S+)(?: named (\S+))? (\d*)\.\.(\d+|\*)?`)
	fshRange    = regexp.MustCompile(`^(\S+) (\d*)\.\.(\d+|\*)?( |$)`)
	fshOnly     = regexp.MustCompile(`^(\S+) only (\S+)$`)
	fshFixed    = regexp.MustCompile(`^(\S+) = (\S+)`)
	fshURL      = regexp.MustCompile(`^\^url = "(.+)"$`)
)

// readFSH reads one file of the guide.
func (p *profiles) readFSH(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	reader := &fshReader{profiles: p}
	for _, line := range joinRules(string(text)) {
		if err := reader.line(line); err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
	}
	return nil
}

// joinRules returns the lines of a file without comments. A line that begins with white space
// continues the rule before it.
func joinRules(text string) (lines []string) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || strings.HasPrefix(trimmed, "//"):
		case line != trimmed && len(lines) > 0:
			lines[len(lines)-1] += " " + trimmed
		default:
			lines = append(lines, line)
		}
	}
	return lines
}

// fshReader reads the items of a file one after the other.
type fshReader struct {
	*profiles
	name      string   // of the item
	current   *profile // nil in an item that is not a profile
	extension bool
}

func (r *fshReader) line(line string) error {
	if header := fshHeader.FindStringSubmatch(line); header != nil {
		r.header(header[1], strings.TrimSpace(header[2]))
		return nil
	}
	rule, ok := strings.CutPrefix(line, "* ")
	if !ok {
		return nil
	}
	rule = strings.TrimSpace(rule)
	if url := fshURL.FindStringSubmatch(rule); url != nil && r.extension {
		r.urls[r.name] = url[1]
	}
	if r.current == nil || strings.Contains(rule, "^") {
		return nil
	}
	return r.rule(rule)
}

func (r *fshReader) header(keyword, value string) {
	switch keyword {
	case "Alias":
		name, url, _ := strings.Cut(value, " = ")
		r.aliases[strings.TrimSpace(name)] = strings.TrimSpace(url)
	case "Profile":
		r.name, r.extension, r.current = value, false, newProfile("", "")
		r.byName[value] = r.current
		r.guide = append(r.guide, r.current)
	case "Parent":
		if r.current != nil {
			r.current.parent = r.canonical(value)
			if of, ok := strings.CutPrefix(value, "AUCore"); ok {
				r.current.parent = "au-core-" + strings.ToLower(of)
			}
		}
	case "Id":
		if r.current != nil {
			r.current.id = value
			r.byName[value] = r.current
		}
	default:
		r.name, r.extension, r.current = value, keyword == "Extension", nil
	}
}

// canonical returns the name of a profile: the end of the canonical if it is an alias.
func (p *profiles) canonical(name string) string {
	if url, ok := p.aliases[name]; ok {
		return lastSegment(url)
	}
	return name
}

func lastSegment(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }

// rule reads one rule of a profile.
func (r *fshReader) rule(rule string) error {
	if m := fshContains.FindStringSubmatch(rule); m != nil {
		for item := range strings.SplitSeq(m[2], " and ") {
			i := fshItem.FindStringSubmatch(strings.TrimSpace(item))
			if i == nil {
				return fmt.Errorf("the slice %q cannot be read", item)
			}
			name := i[2]
			if name == "" {
				name = i[1]
			} else {
				r.current.only[m[1]+"["+name+"]"] = i[1]
			}
			if err := r.current.limit(m[1]+"["+name+"]", i[3], i[4]); err != nil {
				return err
			}
		}
		return nil
	}
	if m := fshRange.FindStringSubmatch(rule); m != nil {
		return r.current.limit(m[1], m[2], m[3])
	}
	if m := fshOnly.FindStringSubmatch(rule); m != nil {
		r.current.only[m[1]] = m[2]
	}
	if m := fshFixed.FindStringSubmatch(rule); m != nil {
		r.current.fixed[m[1]] = r.value(m[2])
	}
	return nil
}

// value returns a fixed value: a string without quotes, a code without its number sign, or a
// coding as system|code.
func (p *profiles) value(text string) string {
	if quoted, err := strconv.Unquote(text); err == nil {
		return quoted
	}
	system, code, ok := strings.Cut(text, "#")
	if !ok || system == "" {
		return strings.TrimPrefix(text, "#")
	}
	if url, known := p.aliases[system]; known {
		system = url
	}
	return system + "|" + code
}

// whole returns a profile with the rules of its parents.
func (p *profiles) whole(name string) *profile {
	name = p.canonical(name)
	own := p.byName[name]
	if own == nil {
		own = p.byName[lastSegment(name)]
	}
	if own == nil { // a type of FHIR R4
		return newProfile(name, "")
	}
	all := p.whole(own.parent)
	all.id = own.id
	for path, l := range own.ranges {
		if known, ok := all.ranges[path]; ok {
			l = known.and(l)
		}
		all.ranges[path] = l
	}
	maps.Copy(all.only, own.only)
	maps.Copy(all.fixed, own.fixed)
	return all
}

// typeOf returns the type of FHIR R4 that a profile constrains.
func (p *profiles) typeOf(one *profile) string {
	for one != nil {
		next := p.byName[one.parent]
		if next == nil {
			return one.parent
		}
		one = next
	}
	return ""
}

// table writes the cardinalities of the guide's profiles that are narrower than those of FHIR
// R4.
func (p *profiles) table(r4 *table) (string, error) {
	var b strings.Builder
	b.WriteString(generated + "# profile, type, path, cardinality\n")
	for _, one := range p.guide {
		of := p.typeOf(one)
		if !slices.Contains(roots, of) {
			continue // an Identifier, or the parameters of a request
		}
		all := p.whole(one.id)
		p.inlineTypes(all)
		for _, path := range slices.Sorted(maps.Keys(all.ranges)) {
			line, err := p.line(r4, of, all, path)
			if err != nil {
				return "", fmt.Errorf("%s: %s: %w", one.id, path, err)
			}
			if line != "" {
				fmt.Fprintf(&b, "%s\t%s\t%s\n", one.id, of, line)
			}
		}
	}
	return b.String(), nil
}

// inlineTypes adds the rules of the Identifier profiles that the slices of a profile use.
func (p *profiles) inlineTypes(all *profile) {
	for _, path := range slices.Sorted(maps.Keys(all.only)) {
		if !strings.HasSuffix(path, "]") || strings.Contains(path, "extension[") {
			continue
		}
		of := p.whole(all.only[path])
		for inner, l := range of.ranges {
			all.ranges[path+"."+inner] = l
		}
		for inner, name := range of.only {
			all.only[path+"."+inner] = name
		}
		for inner, value := range of.fixed {
			all.fixed[path+"."+inner] = value
		}
	}
}

// handled are the extensions that package policy checks or removes.
var handled = regexp.MustCompile(`extension\[(suppressed|deactivated)\]`)

var brackets = regexp.MustCompile(`\[[^]]*\]`)

// line returns the path and the cardinality of a rule, or "" if the table does not need it.
func (p *profiles) line(r4 *table, of string, all *profile, path string) (string, error) {
	l := all.ranges[path]
	if handled.MatchString(path) || path == "." {
		return "", nil
	}
	steps := strings.Split(path, ".")
	written := make([]string, len(steps))
	for i, step := range steps {
		name, slice, sliced := strings.Cut(strings.TrimSuffix(step, "]"), "[")
		if of[0] >= 'a' {
			return "", nil // an extension of a primitive
		}
		e := r4.find(of, name)
		if e == nil {
			return "", fmt.Errorf("%s has no element %s", of, name)
		}
		of, written[i] = e.types[0], name
		if sliced {
			where, err := p.where(all, strings.Join(steps[:i+1], "."), name, slice)
			if err != nil {
				return "", err
			}
			written[i] += where
			continue
		}
		if i < len(steps)-1 {
			continue
		}
		if i > 0 && strings.Contains(written[i-1], "["+name+"=") {
			return "", nil // what belongs to the slice has it
		}
		before := limits{e.min, 1}
		if e.many {
			before.max = unbounded
		}
		if l = l.and(before); l == before {
			return "", nil
		}
		plain := brackets.ReplaceAllString(path, "")
		if of, ok := all.ranges[plain]; ok && plain != path && of.and(before) == l {
			return "", nil // all items have it, not only those of the slice
		}
	}
	if l == (limits{0, unbounded}) {
		return "", nil
	}
	most := "*"
	if l.max != unbounded {
		most = strconv.Itoa(l.max)
	}
	return fmt.Sprintf("%s\t%d..%s", strings.Join(written, "."), l.min, most), nil
}

// where returns the condition by which the items of a slice are recognised.
func (p *profiles) where(all *profile, path, name, slice string) (string, error) {
	if name == "extension" {
		url := all.only[path]
		if known, ok := p.urls[url]; ok {
			url = known
		} else if known, ok := p.aliases[url]; ok {
			url = known
		}
		if !strings.HasPrefix(url, "http://") {
			return "", fmt.Errorf("the extension %s has no canonical", slice)
		}
		return "[url=" + url + "]", nil
	}
	if system := all.fixed[path+".system"]; strings.HasPrefix(system, "http") {
		return "[system=" + system + "]", nil
	}
	if kind := all.fixed[path+".type"]; strings.Contains(kind, "|") {
		return "[type=" + kind + "]", nil
	}
	var conditions []string
	for _, member := range []string{"system", "use", "type"} {
		if value := all.fixed[path+"."+member]; value != "" {
			conditions = append(conditions, member+"="+value)
		}
	}
	if conditions == nil {
		return "", fmt.Errorf("nothing tells which items belong to the slice %s", slice)
	}
	return "[" + strings.Join(conditions, "&") + "]", nil
}
