package rulestest

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Script is a sequence of steps with what clients see after them. Its language is described in
// tests/rules/README.md.
type Script struct {
	Requirements []string // ids of the requirements that it proves
	lines        []scriptLine
}

type scriptLine struct {
	number  int
	command string
	words   []string
	text    string // after the first word
}

// Question is a line that asks a directory. The model does not answer it.
type Question struct {
	Command string   // search, includes, export, since or version
	About   string   // a query, or the name of a resource
	Want    []string // names, or the version
}

// questions are the commands that ask a directory.
var questions = []string{"search", "includes", "export", "since", "version"}

// namePattern matches the beginning of a Type/id.
var namePattern = regexp.MustCompile(`\b(` + strings.Join(Types, "|") + `)/`)

// ParseScript parses a script whose first line has the number first. It puts the prefix before all
// ids.
func ParseScript(script string, first int, prefix string) (*Script, error) {
	s := &Script{}
	script = namePattern.ReplaceAllString(script, "${0}"+prefix)
	for n, line := range strings.Split(script, "\n") {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " # ")
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		command, text, _ := strings.Cut(line, " ")
		l := scriptLine{first + n, command, strings.Fields(text), text}
		if command == "req" {
			s.Requirements = append(s.Requirements, l.words...)
			continue
		}
		if _, known := actions[command]; !known && expectations[command] == nil && command != "and" && !slices.Contains(questions, command) {
			return nil, fmt.Errorf("line %d: %q is not a command", l.number, command)
		}
		s.lines = append(s.lines, l)
	}
	return s, nil
}

// Play plays a script. It calls step for each step, with the history that has it as its last step,
// and compares the expectations with the history. It calls ask for each question, unless ask is nil.
// Errors name the line.
func (s *Script) Play(step func(Step, *History) error, ask func(Question) error) error {
	h := &History{}
	for n := 0; n < len(s.lines); n++ {
		l := s.lines[n]
		if expect := expectations[l.command]; expect != nil {
			if err := expect(h, l); err != nil {
				return fmt.Errorf("line %d: %s: %w", l.number, l.text, err)
			}
			continue
		}
		if slices.Contains(questions, l.command) {
			if err := l.ask(ask); err != nil {
				return fmt.Errorf("line %d: %s: %w", l.number, l.text, err)
			}
			continue
		}
		w, now := h.World, Step{What: l.command + " " + l.text}
		for {
			c, err := l.change(w)
			if err != nil {
				return fmt.Errorf("line %d: %w", l.number, err)
			}
			w = w.after(c)
			now.Changes = append(now.Changes, c)
			if n+1 == len(s.lines) || s.lines[n+1].command != "and" {
				break
			}
			n++
			l = s.lines[n].next()
		}
		h.Step(now.Changes...)
		if err := step(now, h); err != nil {
			return fmt.Errorf("line %d: %w", l.number, err)
		}
	}
	return nil
}

// ask asks the question of a line.
func (l scriptLine) ask(ask func(Question) error) error {
	if len(l.words) < 2 {
		return errors.New("say what it finds, or none")
	}
	if ask == nil {
		return nil
	}
	return ask(Question{l.command, l.words[0], l.words[1:]})
}

// next returns the command after "and".
func (l scriptLine) next() scriptLine {
	command, text, _ := strings.Cut(l.text, " ")
	return scriptLine{l.number, command, strings.Fields(text), text}
}

// change returns the change of a line.
func (l scriptLine) change(w World) (Change, error) {
	edit, ok := actions[l.command]
	if !ok || len(l.words) == 0 {
		return Change{}, fmt.Errorf("%s %s is not a step", l.command, l.text)
	}
	n, ok := ParseName(l.words[0])
	if !ok || !slices.Contains(Types, n.Type) {
		return Change{}, fmt.Errorf("%q is not the name of a resource: write Type/id", l.words[0])
	}
	switch l.command {
	case "remove":
		return Remove(n), nil
	case "reload":
		back, err := strconv.Atoi(strings.Join(l.words[1:], " "))
		if err != nil || back < 1 {
			return Change{}, errors.New("say which version: 1 is the last one, 2 the one before")
		}
		return Reload(n, back), nil
	}
	d := Object{"resourceType": n.Type, "id": n.ID}
	if own, present := w.Present[n]; present {
		d = clone(own)
	} else if l.command != "put" {
		return Change{}, fmt.Errorf("%s is not in the directory: put it first", n)
	}
	_, arguments, _ := strings.Cut(l.text, " ")
	return Put(d), edit(d, arguments)
}

// actions are the commands that change the document of a resource.
var actions = map[string]func(d Object, arguments string) error{
	"put":        putMembers,
	"again":      func(Object, string) error { return nil },
	"lift":       func(d Object, _ string) error { Lift(d); return nil },
	"deactivate": func(d Object, word string) error { setActivity(d, word, "inactive", false); return nil },
	"reactivate": func(d Object, word string) error { setActivity(d, word, "active", true); return nil },
	"suppress":   suppressFor,
	"remove":     nil,
	"reload":     nil,
}

// putMembers sets members. A member that is null is removed.
func putMembers(d Object, members string) error {
	if members == "" {
		members = "{}"
	}
	o, err := Parse([]byte(members))
	if err != nil {
		return fmt.Errorf("read members: %w", err)
	}
	if d["identifier"] == nil && o["identifier"] == nil && slices.Contains([]string{"Location", "Endpoint", "HealthcareService", "PractitionerRole"}, text(d["resourceType"])) {
		// Without a local identifier the directory would add one.
		d["identifier"] = []any{Object{"system": "http://digitalhealth.gov.au/fhir/hcpd/id/hcpd-local-identifier", "value": d["id"]}}
	}
	for member, value := range o {
		if d[member] = expand(value); value == nil {
			delete(d, member)
		}
	}
	return nil
}

var referencePattern = regexp.MustCompile(`^ref\((.*)\)$`)

// expand replaces the text ref(Type/id) by a reference.
func expand(element any) any {
	switch e := element.(type) {
	case []any:
		for n := range e {
			e[n] = expand(e[n])
		}
	case Object:
		for member := range e {
			e[member] = expand(e[member])
		}
	case string:
		if m := referencePattern.FindStringSubmatch(e); m != nil {
			return Object{"reference": m[1]}
		}
	}
	return element
}

func setActivity(d Object, word, status string, active bool) {
	if stateElement(d) == "active" {
		d["active"] = active
		return
	}
	d["status"] = status
	if word != "" {
		d["status"] = word
	}
}

// suppressFor adds a suppression for the initiators that the arguments name.
func suppressFor(d Object, arguments string) error {
	Lift(d)
	var initiators []string
	var self []any
	for _, word := range strings.Fields(arguments) {
		switch word {
		case ByOrganisation, ByPractitioner:
			initiators = append(initiators, word)
		case "includeSelf=false", "includeSelf=true":
			self = []any{Object{"url": "includeSelf", "valueBoolean": word == "includeSelf=true"}}
		default:
			return fmt.Errorf("%q is not an initiator", word)
		}
	}
	if len(initiators) == 0 {
		initiators = []string{ByOrganisation}
		if d["resourceType"] == "Practitioner" {
			initiators = []string{ByPractitioner}
		}
	}
	extension := newSuppression(initiators...)
	extension["extension"] = append(extension["extension"].([]any), self...)
	list, _ := d["extension"].([]any)
	d["extension"] = append(list, extension)
	return nil
}

// expectations are the commands that say what clients see.
var expectations = map[string]func(h *History, l scriptLine) error{
	"visible": func(h *History, l scriptLine) error { return same("visible", l.words, h.View.Visible()) },
	"delta": func(h *History, l scriptLine) error {
		output, _ := h.Delta(h.Steps() - 1)
		return same("in the delta", l.words, output)
	},
	"deleted": func(h *History, l scriptLine) error {
		_, deleted := h.Delta(h.Steps() - 1)
		return same("deleted", l.words, deleted)
	},
	"own": func(h *History, l scriptLine) error {
		for _, word := range l.words {
			n, _ := ParseName(word)
			if r, ok := h.View[n]; !ok || r.Inherits() {
				return fmt.Errorf("%s does not have its own form: %v", n, r.Document)
			}
		}
		return nil
	},
	"shows": shows,
}

// same compares a list of names. The word none is the empty list.
func same(what string, words []string, got []Name) error {
	want := slices.DeleteFunc(slices.Sorted(slices.Values(words)), func(w string) bool { return w == "none" })
	var names []string
	for _, n := range got {
		names = append(names, n.String())
	}
	slices.Sort(names)
	if !slices.Equal(want, names) {
		return fmt.Errorf("%s are %s", what, strings.Join(names, " "))
	}
	return nil
}

// Found compares what a question finds with what it wants.
func (q Question) Found(names []Name) error { return same("found", q.Want, names) }

// shows compares facts about the document of a resource.
func shows(h *History, l scriptLine) error {
	n, _ := ParseName(l.words[0])
	r, ok := h.View[n]
	if !ok {
		return fmt.Errorf("%s is not in the directory", n)
	}
	for _, fact := range l.words[1:] {
		name, want, _ := strings.Cut(fact, "=")
		got := "absent"
		switch value := r.Document[name]; {
		case name == "suppressed":
			got = strings.Join(Initiators(r.Document), ",")
			if got == "" {
				got = "no"
			}
		case name == "includeSelf":
			got = fmt.Sprint(part(suppression(r.Document), "includeSelf")["valueBoolean"])
		case value != nil:
			got = fmt.Sprint(value)
		}
		if got != want {
			return fmt.Errorf("%s shows %s=%s", n, name, got)
		}
	}
	return nil
}
