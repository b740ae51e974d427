package strictjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func Example() {
	var v Validator
	fmt.Println(v.Validate([]byte(`{"resourceType":"Location","id":"a"}`)))
	fmt.Println(v.Validate([]byte(`{"id":"a","id":"b"}`)))
	fmt.Println(v.Validate([]byte(`{"id":"a"`)))
	// Output:
	// <nil>
	// at byte 14: an object has the same key twice
	// the JSON text is cut off at byte 9
}

func TestValidate(t *testing.T) {
	brackets := strings.Repeat("[", MaxDepth)
	closing := strings.Repeat("]", MaxDepth)
	for _, c := range []struct{ text, want string }{
		{`null`, ""},
		{" [true,false,-0.5e+3,\"\\u00e9\\ud83d\\ude00\"]\n", ""},
		{``, "the JSON text is cut off at byte 0"},
		{`{"a":1`, "cut off at byte 6"},
		{`{"a":1}x`, "at byte 8: there is more text after the value"},
		{`[tru]`, "at byte 2: this is not the start of a JSON value"},
		{`[01]`, "at byte 3: a comma or the end of the array is missing"},
		{`[1.]`, "at byte 4: a digit is missing after the decimal point"},
		{`{a:1}`, "at byte 2: the key of a member is missing"},
		{`{"a" 1}`, "at byte 6: the colon after a key"},
		{"[\"\x01\"]", "at byte 3: a string has a control character; escape it"},
		{"[\"\xff\"]", "at byte 3: the text is not UTF-8"},
		{`["\x"]`, "at byte 3: JSON has no such escape"},
		{`["\u12"]`, `at byte 3: \u needs four hexadecimal digits`},
		{`{"a":1,"\u0061":2}`, "at byte 15: an object has the same key twice"},
		{`{"a":{"a":1},"b":{"a":1}}`, ""},
		// Only CheckValues rejects these.
		{`["\ud83d"]`, `at byte 3: \u escapes half of a surrogate pair`},
		{`["\u0000"]`, "at byte 3: a string has a control character; FHIR allows only tab"},
		{`["\u0007"]`, "at byte 3: a string has a control character; FHIR allows only tab"},
		{`["\b\f\u000b\u0008"]`, ""}, // counted in Controls
		{"[\"\v\"]", "at byte 3: a string has a control character; escape it"},
		{`[1e999]`, "at byte 2: the number is too large"},
		// Depth counts levels, not brackets.
		{brackets + closing, ""},
		{brackets + "{}" + closing, "at byte 65: objects and arrays nest deeper than 64"},
		{"[" + strings.Repeat("[{}],", 1000) + "[]]", ""},
		{`"` + brackets + brackets + `"`, ""},
		{`["a\"` + brackets + brackets + `"]`, ""},
		{`["\\",` + brackets, "at byte 70: objects and arrays nest deeper than 64"},
	} {
		v := Validator{Options: Options{CheckValues: true}}
		err := v.Validate([]byte(c.text))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want %q", c.text, err, c.want)
		}
	}
	var v Validator
	for _, text := range []string{`["\ud83d"]`, `["\ud83d\u0041"]`, `["\u0000"]`, `[1e999]`} {
		if err := v.Validate([]byte(text)); err != nil {
			t.Errorf("%q without CheckValues: %v", text, err)
		}
	}
}

func TestDuplicatePaths(t *testing.T) {
	var got []string
	v := Validator{Options: Options{Duplicate: func(path []Step) {
		text := ""
		for _, s := range path {
			if s.Name != nil {
				text += "." + string(s.Name)
			} else {
				text += fmt.Sprintf("[%d]", s.Index)
			}
		}
		got = append(got, text)
	}}}
	many := strings.Builder{}
	for n := range 2 * manyNames {
		fmt.Fprintf(&many, `"n%d":0,`, n)
	}
	text := `{"x":1,"m":[0,{` + many.String() + `"n3":{"c":1,"d":2,"c":3}}],"x":[{"x":1}],"x":2}`
	if err := v.Validate([]byte(text)); err != nil {
		t.Fatal(err)
	}
	want := []string{".m[1].n3", ".m[1].n3.c", ".x", ".x"}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMaxCommas(t *testing.T) {
	v := Validator{Options: Options{MaxCommas: 3}}
	if err := v.Validate([]byte(`{"a,b,c,d":[1,2,3],"b":1}`)); err != nil {
		t.Errorf("three commas outside strings: %v", err)
	}
	err := v.Validate([]byte(`[[1,2],[3,4],5]`))
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != TooManyMembers || e.Offset != 12 {
		t.Errorf("four commas: %v", err)
	}
}

// FuzzValidate compares the grammar with encoding/json.
func FuzzValidate(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.5e-3,true,null,"\u00e9\n"]}`, `{"a":1,"a":2}`, `[`, `"\ud800\u0041"`, "\"\xff\"", `1e999`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		lenient := Validator{Options: Options{Duplicate: func(path []Step) {
			if len(path) == 0 || path[len(path)-1].Name == nil {
				t.Fatalf("%q: the path of a duplicate is %v", text, path)
			}
		}}}
		var strict Validator
		err := lenient.Validate(text)
		e, isError := errors.AsType[*Error](err)
		if err != nil && (!isError || e.Offset < 0 || e.Offset > len(text)) {
			t.Fatalf("%q: %v", text, err)
		}
		if err == nil && !json.Valid(text) {
			t.Fatalf("%q is accepted and is not JSON", text)
		}
		if err != nil && json.Valid(text) && e.Kind != TooDeep && e.Text != "the text is not UTF-8" {
			t.Fatalf("%q is JSON and is rejected: %v", text, err)
		}
		if err != nil && strict.Validate(text) == nil {
			t.Fatalf("%q is rejected with a Duplicate function only", text)
		}
	})
}

// TestControls checks that escapes of backspace, vertical tab and form feed are counted, in
// names and in values, and only in the last text.
func TestControls(t *testing.T) {
	v := Validator{Options: Options{CheckValues: true}}
	for _, c := range []struct {
		text string
		want int
	}{{`["\b\f\u000b"]`, 3}, {`["\t\n\r\u0009"]`, 0}, {`{"\u000C":"\\b"}`, 1}, {`[1]`, 0}} {
		if err := v.Validate([]byte(c.text)); err != nil || v.Controls != c.want {
			t.Errorf("%s: %d, %v; want %d", c.text, v.Controls, err, c.want)
		}
	}
}

// TestTooLong checks the limits of arrays and objects, and that the error names the place.
func TestTooLong(t *testing.T) {
	v := Validator{Options: Options{MaxItems: 3, Unlimited: "entry", MaxMembers: 2}}
	for _, c := range []struct{ text, want string }{
		{`{"a":[1,2,3],"b":[[1,2,3],[1],{"x":1,"y":[]}]}`, ""},
		{`{"entry":[1,2,3,4,5]}`, ""},
		{`{"a":[1,2,3,4]}`, "{a 0} at byte 13: an array has more than 3 items"},
		{`{"a":{"entry":[1,2,3,4]}}`, "{a 0} {entry 0} at byte 22: an array has more than 3 items"},
		{`{"entry":[[1,2,3,4]]}`, "{entry 0} { 0} at byte 18: an array has more than 3 items"},
		{`{"b":[0,{"x":1,"y":2,"z":3}]}`, "{b 0} { 1} at byte 25: an object has more than 2 members"},
		{`{"x":1,"y":2,"z":3}`, "at byte 17: an object has more than 2 members"},
	} {
		err := v.Validate([]byte(c.text))
		e, ok := errors.AsType[*Error](err)
		if c.want == "" && err == nil {
			continue
		}
		if !ok || e.Kind != TooLong {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		path := ""
		for _, s := range e.Path {
			path += fmt.Sprintf("{%s %d} ", s.Name, s.Index)
		}
		if got := path + e.Error(); got != c.want {
			t.Errorf("%s: %q, want %q", c.text, got, c.want)
		}
	}
}
